"""The journal of paid replies: torn, with flipped bits, on a full disk, opened by two processes."""

import asyncio
import errno
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.endpoints.budgeted import BudgetedCache, BudgetedChat
from tasks.endpoints.cached import CachedChat
from tasks.endpoints.chat import Reply, Request, map_async, user
from tasks.endpoints.replay import Paid, ReplayStore, journal, paid
from tasks.schema.errors import BadInput, WorkspaceBusy
from tasks.schema.params import Model
from tasks.schema.records import Usage
from tasks.schema.settings import Settings
from tests.tasks.endpoints.journals import IDENTITY, KEYS, filled, reply


def known(path: Path) -> list[int]:
    """Which replies a store still has; each must be the one that was put in."""
    store = ReplayStore(path)
    found = [n for n, key in enumerate(KEYS) if (got := store.get(key)) and got == reply(n)]
    wrong = [n for n, key in enumerate(KEYS) if (got := store.get(key)) and got != reply(n)]
    store.close()
    assert wrong == []
    return found


def test_what_was_put_in_comes_out_also_of_another_process_life(tmp_path: Path) -> None:
    filled(tmp_path / "replay.jsonl")
    assert known(tmp_path / "replay.jsonl") == list(range(6))


def test_a_record_torn_at_any_byte_costs_that_record_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "replay.jsonl"
    whole, last = filled(path), len(filled(path).splitlines(keepends=True)[-1])
    for cut in range(1, last + 1):
        path.write_bytes(whole[:-cut])
        assert known(path) == list(range(5))
        store = ReplayStore(path)
        store.put(KEYS[5], paid("teacher", "m", reply(5)))
        store.close()
        assert known(path) == list(range(6))
    assert "its last record" in capfd.readouterr().err


def test_a_tail_of_zeros_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "replay.jsonl"
    path.write_bytes(filled(path) + bytes(5000))
    assert known(path) == list(range(6))
    assert path.with_name("replay.jsonl.damaged").stat().st_size == 5001


def test_a_flipped_bit_anywhere_costs_its_record_or_two_and_is_never_used(tmp_path: Path) -> None:
    path, luck = tmp_path / "replay.jsonl", random.Random(1)
    whole = filled(path)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[luck.randrange(len(whole))] ^= 1 << luck.randrange(8)
        path.write_bytes(damaged)
        assert len(known(path)) >= 4


def test_a_reply_that_is_damaged_while_the_store_is_open_is_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "replay.jsonl"
    filled(path)
    store = ReplayStore(path)
    damaged = path.read_bytes().replace(b"answer 3", b"answer 4")
    with path.open("r+b") as file:
        file.write(damaged)
    assert store.get(KEYS[3]) is None
    store.put(KEYS[3], paid("teacher", "m", reply(3)))
    assert store.get(KEYS[3]) == reply(3)
    store.close()


def test_a_second_process_is_refused_and_told_who_holds_the_journal_and_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "replay.jsonl"
    code = f"import time; from pathlib import Path; from tasks.endpoints.replay import ReplayStore; s = ReplayStore(Path({str(path)!r}))"
    holder = subprocess.Popen(
        [sys.executable, "-c", code + "; print('held', flush=True); time.sleep(60)"], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(WorkspaceBusy, match=rf"process {holder.pid} on \S+ is calling models from this workspace"):
        ReplayStore(path)
    holder.kill()
    holder.wait()
    ReplayStore(path).close()


def test_a_full_disk_leaves_a_whole_journal_and_stops_further_calls(tmp_path: Path) -> None:
    path = tmp_path / "replay.jsonl"
    length = len(filled(path, 3))
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = ReplayStore(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length + 100, old[1]))
    try:
        with pytest.raises(OSError, match="replay") as error:
            store.put(KEYS[3], paid("teacher", "m", reply(3)))
        assert error.value.errno in (errno.ENOSPC, errno.EFBIG)
        with pytest.raises(OSError, match="replay"):
            store.check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
        store.close()
    assert len(path.read_bytes()) == length
    assert known(path) == [0, 1, 2]


def test_the_journal_is_for_its_owner_alone(tmp_path: Path) -> None:
    filled(tmp_path / "replay.jsonl")
    assert os.stat(tmp_path / "replay.jsonl").st_mode & 0o777 == 0o600


class Counting:
    """A Chat that counts what it is asked and answers after a while, without HTTP."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, request: Request) -> Reply:
        self.calls += 1
        await asyncio.sleep(0.01)
        return Reply(f"{request.messages[0].content}/{request.sample}", "stop", Usage(1, 2, 3), 0.5, role="teacher")


MODEL = Model(name="m", revision="1", temperature=1.0, max_tokens=10)


@contextmanager
def cache(path: Path) -> Iterator[BudgetedCache]:
    with journal(path) as store:
        yield BudgetedCache(store, role="teacher", model=MODEL, identity=IDENTITY, settings=Settings())


def asked(path: Path, counting: Counting, requests: list[Request]) -> list[Reply]:
    async def go(known: BudgetedCache) -> list[Reply]:
        async with BudgetedChat(counting, known) as budgeted:
            return await map_async(requests, CachedChat(budgeted, known), unit="call", label=None)

    with cache(path) as known:
        return asyncio.run(go(known))


def test_a_stored_reply_is_never_asked_for_again(tmp_path: Path) -> None:
    counting, requests = Counting(), [user("a"), user("b"), user("a"), user("a", sample=1)]
    first = asked(tmp_path / "replay.jsonl", counting, requests)
    assert counting.calls == 3  # the same request made twice at once is paid once
    assert asked(tmp_path / "replay.jsonl", counting, requests) == first
    assert counting.calls == 3


def test_the_reply_of_a_call_whose_caller_is_cancelled_is_recorded(tmp_path: Path) -> None:
    counting = Counting()

    async def go(known: BudgetedCache) -> None:
        async with BudgetedChat(counting, known) as budgeted:
            await asyncio.wait_for(CachedChat(budgeted, known)(user("a")), 0.002)

    with cache(tmp_path / "replay.jsonl") as known:
        with pytest.raises(TimeoutError):
            asyncio.run(go(known))
        assert known.account.calls == 1
    assert [reply.text for reply in asked(tmp_path / "replay.jsonl", counting, [user("a")])] == ["a/0"]
    assert counting.calls == 1


def test_a_line_says_what_was_paid_and_to_whom(tmp_path: Path) -> None:
    filled(tmp_path / "replay.jsonl", 2)
    store = ReplayStore(tmp_path / "replay.jsonl")
    lines = [line for _, line in store.all()]
    store.close()
    assert [(line.role, line.model, line.prompt, line.completion, line.cached) for line in lines] == [
        ("teacher", "m", 0, 2, 1),
        ("teacher", "m", 1, 2, 1),
    ]
    assert all(isinstance(line, Paid) and line.at > 1_700_000_000 for line in lines)


def test_a_folder_in_the_journals_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be opened: Is a directory"):
        ReplayStore(tmp_path)
