"""A killed transfer resumes, and no reader sees an incomplete version."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.storage import versions
from tasks.storage.client import connect
from tasks.storage.fetch import fetch
from tasks.storage.place import Place
from tasks.storage.publish import publish
from tests.conftest import ROOT
from tests.tasks.storage.conftest import PART
from tests.tasks.storage.servers import Proxy

PARTS, TRANSFERS = 8, 2
IMPORTS = """
from pathlib import Path
from tasks.storage.fetch import fetch
from tasks.storage.place import place
from tasks.storage.publish import publish
"""


@pytest.fixture
def big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LONGWRITER_TRANSFERS", str(TRANSFERS))
    (tmp_path / "big").mkdir()
    with (tmp_path / "big" / "weights.safetensors").open("wb") as file:
        for number in range(PARTS):
            file.write(bytes([number]) * PART)
    return tmp_path / "big"


def killed(code: str, *, after: int, proxy: Proxy) -> int:
    """Run it, and kill -9 it once so many parts went through; how many did in the end."""
    process = subprocess.Popen([sys.executable, "-c", IMPORTS + code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    end = time.monotonic() + 60
    while parts(proxy) < after:
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    proxy.release.set()
    return parts(proxy)


def parts(proxy: Proxy) -> int:
    return sum(request.part is not None or request.start is not None for request in proxy.done)


def test_a_killed_publication_sends_no_finished_part_again(proxy: Proxy, at: Place, big: Path) -> None:
    proxy.rule = lambda request, before: "hold" if (request.part or 0) > 4 else None
    finished = killed(f"publish(Path({str(big)!r}), 'data', to=place(), part_size={PART})", after=4, proxy=proxy)
    assert versions.versions(connect(), at, "data") == []
    proxy.rule = lambda request, before: None
    done = publish(big, "data", to=at, part_size=PART, label=None)
    assert (done.sent, done.spared) == (PARTS - finished, finished) == (4, 4)
    assert sorted(part for _, part in proxy.sent()) == list(range(1, PARTS + 1))


@pytest.mark.integration
def test_a_killed_fetch_asks_for_no_finished_part_again(proxy: Proxy, at: Place, big: Path, tmp_path: Path) -> None:
    publish(big, "data", to=at, part_size=PART, label=None)
    proxy.done.clear()
    proxy.rule = lambda request, before: "hold" if (request.start or 0) >= 4 * PART else None
    target = tmp_path / "got"
    finished = killed(f"fetch('data', Path({str(target)!r}), source=place())", after=4, proxy=proxy)
    assert not target.exists()
    proxy.rule = lambda request, before: None
    done = fetch("data", target, source=at, label=None)
    assert done.fetched + done.spared == PARTS
    assert finished - 1 <= done.spared <= finished  # the last bytes of one may have been on their way to the disk
    assert (target / "weights.safetensors").read_bytes() == (big / "weights.safetensors").read_bytes()
