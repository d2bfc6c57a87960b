"""Prefect's embedded API: a damaged or locked database gives one line with a fix, and a server that dies is reported at once."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import embedded
from tasks import databases
from tasks.schema.errors import BadInput, WorkspaceBusy
from tasks.schema.settings import settings
from tests.conftest import ROOT


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(9000))


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(4096, len(data), 2001):
        data[place] ^= 0xFF
    path.write_bytes(data)


@pytest.fixture(autouse=True)
def no_server() -> Iterator[None]:
    """Another file's tests may have a server for the whole session."""
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


@pytest.fixture
def database() -> Path:
    path = settings().home.resolve() / "prefect/prefect.db"
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE flow_run (id TEXT PRIMARY KEY, name TEXT)")
        base.executemany("INSERT INTO flow_run VALUES (?, ?)", [(str(number), "run " * 20) for number in range(500)])
    return path


@pytest.mark.parametrize("how", [garbage, half, flipped])
def test_a_damaged_database_is_one_line_that_says_what_is_lost_and_what_to_do(database: Path, how: Callable[[Path], None]) -> None:
    how(database)
    with pytest.raises(BadInput) as told, embedded.server():
        raise AssertionError("it was started")
    said = str(told.value)
    assert said.startswith(f"{database}: Prefect's record of runs: damaged (")
    assert said.endswith(f"; fix: move it aside, `mv {database} {database}.damaged`, and run again; this loses {embedded.LOSES}")


def test_a_database_that_another_process_keeps_locked_is_one_line(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "WAIT", 0.2)
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(WorkspaceBusy, match=r"prefect\.db \(Prefect's record of runs\): another process keeps it locked; fix: "):
        embedded.check_database(database)
    holder.close()


@pytest.mark.integration
def test_a_run_whose_server_died_says_so_at_once() -> None:
    code = "import time\nfrom flows import embedded\nembedded.defaults()\nwith embedded.server():\n print(flush=True); time.sleep(300)"
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | {"PYTHONPATH": str(ROOT)}
    own = {"LONGWRITER_HOME": str(settings().home)}
    run = subprocess.Popen([sys.executable, "-c", code], env=environment | own, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout
    run.stdout.readline()
    (server,) = psutil.Process(run.pid).children()
    server.kill()
    _, said = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "error: Prefect's embedded API ended with exit code -9 while the run was on; see " in said
    assert "fix: run again, what is done is kept" in said
    assert "Traceback" not in said
