"""A full disk under the journal: no call is made if its reply could not be stored."""

import asyncio
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from tasks.endpoints.chat import map_async, user
from tasks.endpoints.replay import JOURNAL, ReplayStore, paid
from tasks.endpoints.roles import open_role
from tasks.endpoints.room import reserve
from tasks.schema.params import Model
from tasks.schema.settings import settings
from tests.tasks.endpoints.journals import KEYS, filled, reply
from tests.tasks.judging.endpoint import serving

MODEL = Model(name="some-model", revision="1", temperature=1.0, max_tokens=2000)
ANSWER = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Rye needs time. " * 100}}]}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KB, where this account may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("this account may not mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def ask(count: int) -> None:
    async def go() -> None:
        async with open_role("judge", MODEL) as chat:
            await map_async(range(count), lambda number: chat(user(f"Name a loaf, {number}.")._replace(words=200)), unit="call", label=None)

    asyncio.run(go())


def kept() -> int:
    return (settings().home / JOURNAL).read_bytes().count(b"\n")


def test_on_a_disk_that_fills_up_every_answer_is_kept_and_a_full_one_is_paid_nothing(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_HOME", str(disk / "home"))
    served = 0

    async def complete(_: web.Request) -> web.Response:
        nonlocal served
        served += 1
        return web.json_response(ANSWER)

    with serving(complete):
        with pytest.raises(OSError, match=r"No space left on device.*replay\.jsonl"):
            ask(400)
        assert 20 < served == kept()
        ballast = disk / "ballast"
        subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4k"], capture_output=True)  # until nothing more fits
        before = served
        for _ in range(3):
            with pytest.raises(OSError, match="No space left on device"):
                ask(400)
        assert served == before
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        ask(400)
    assert served == 400 == kept()


def test_room_is_taken_from_the_disk_before_it_is_needed_and_given_back(disk: Path) -> None:
    free = os.statvfs(disk).f_bavail
    store = ReplayStore(disk / "replay.jsonl")
    with store.room(50_000):
        assert os.statvfs(disk).f_bavail < free
        with pytest.raises(OSError, match="No space left"), store.room(300_000):
            raise AssertionError("there is no room for it")
    with store.room(1000):
        store.put(KEYS[0], paid("teacher", "m", reply(0)))
    store.close()
    assert os.statvfs(disk).f_bavail >= free - 3
    assert (disk / "replay.jsonl").stat().st_size < 1000


def test_a_limit_on_the_size_of_files_is_known_before_a_call_is_paid(tmp_path: Path) -> None:
    length = len(filled(tmp_path / "replay.jsonl", 3))
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = ReplayStore(tmp_path / "replay.jsonl")
    resource.setrlimit(resource.RLIMIT_FSIZE, (length + 20_000, old[1]))
    try:
        with store.room(1000), pytest.raises(OSError, match="File too large"), store.room(10_000):
            raise AssertionError("there is no room for it")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
        store.close()


def test_reserving_does_not_make_a_file_longer(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        reserve(file.fileno(), "file", start=0, size=100_000)
    assert (tmp_path / "file").stat().st_size == 0
