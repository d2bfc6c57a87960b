"""The screen of a run, in a real terminal and without one: a toy workspace with the real DVC and a real Prefect API."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL
from rich.console import Console

from flows.graph import Stage
from flows.live_table import NOISE, Bar, LiveTable, Spend, clock, read_bar
from tasks.endpoints.chat import Reply, user
from tasks.endpoints.replay import journal, key_of, paid
from tasks.schema.records import Usage
from tasks.schema.settings import settings
from tests.terminal import Terminal, terminal

RUN = [sys.executable, "-m", "flows.cli", "run"]


def environment() -> dict[str, str]:
    url = PREFECT_API_URL.value()
    assert url
    return os.environ | {"PREFECT_API_URL": url}


def run(toy: Path, *, rows: int = 40) -> Terminal:
    """A whole run in a terminal."""
    with terminal(RUN, folder=toy, environment=environment(), rows=rows) as screen:
        screen.end(seconds=240)
    return screen


def last_marks(screen: Terminal) -> dict[str, str]:
    """The mark of each stage in the last drawing of the table."""
    last = screen.shown.rsplit("stages ·", 2)[-2]
    return {name: mark for mark, name in re.findall(r"([✓✗·]) +(\w+)", last)}


@pytest.mark.integration
@pytest.mark.usefixtures("api")
def test_in_a_terminal_a_run_is_one_table_that_moves(toy: Path) -> None:
    (toy / "in.txt").write_text("patient\n")
    screen = run(toy)
    assert screen.process.returncode == 0, screen.shown[-3000:]
    assert "50%" in screen.shown
    assert len(set(re.findall(r"of 3 stages · (\d+:\d\d)", screen.shown))) >= 2
    assert last_marks(screen) == {"first": "✓", "second": "✓", "third": "✓"}
    assert "first: first reads in.txt" in screen.shown
    assert "100%|bar|" not in screen.shown
    assert "file/s]" not in screen.shown


@pytest.mark.integration
@pytest.mark.usefixtures("api")
def test_a_failed_stage_is_marked_and_its_error_is_the_last_line(toy: Path) -> None:
    (toy / "in.txt").write_text("broken\n")
    screen = run(toy, rows=8)
    assert screen.process.returncode == 2
    assert last_marks(screen)["second"] == "✗"
    assert screen.shown.strip().splitlines()[-1] == "error: second: first.txt:1: text: broken; correct the line"


@pytest.mark.integration
@pytest.mark.usefixtures("api")
def test_without_a_terminal_a_run_is_plain_lines(toy: Path) -> None:
    done = subprocess.run(RUN, cwd=toy, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    assert "stage 2 of 3: first · starts" in done.stdout or "stage 1 of 3: first · starts" in done.stdout
    assert re.search(r"third +Completed +\d+\.\d s", done.stdout)


def test_tqdms_bars_are_read() -> None:
    assert read_bar("write:  45%|████▌     | 45/100 [00:12<00:15,  3.2it/s, $0.02]") == Bar(45, "45/100 [00:12<00:15,  3.2it/s, $0.02]")
    assert read_bar("starting student: 00:04") == Bar(None, "starting student: 00:04")
    noise = ("", "!", "Collecting files and computing hashes in data/pack  |0.00 [00:00,     ?file/s]")
    assert all(NOISE.fullmatch(text) for text in noise)
    assert not NOISE.fullmatch("train: 3 rows [00:12] are left out")
    assert [clock(seconds) for seconds in (0.4, 61, 3725)] == ["0:00", "1:01", "1 h 02"]


def test_the_spend_of_a_run_is_what_the_journal_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_PRICES", '{"dear": {"prompt": 1000000, "completion": 2000000}}')
    settings.cache_clear()
    path = settings().home / "replay.jsonl"

    def pay(number: int, model: str) -> None:
        with journal(path) as store:
            store.put(key_of(user(str(number)), {}), paid("teacher", model, Reply("text", "stop", Usage(1, 2), 1.0)))

    pay(0, "dear")
    spend = Spend(path)
    spend.look()
    assert str(spend) == ""
    pay(1, "dear")
    pay(2, "free")
    spend._next = 0.0
    spend.look()
    assert str(spend) == "2 calls, $5.00"


def test_a_long_table_is_folded_around_the_running_stage() -> None:
    names = [f"stage{number:02}" for number in range(30)]
    with open(os.devnull, "w") as nowhere:
        table = LiveTable(nowhere)
        table.begin(names)
        try:
            for number, name in enumerate(names[:20], 1):
                table.stage_ends(Stage(name, "", number, 30), "Cached", 0.1)
            table.stage_begins(Stage("stage20", "trains the model", 21, 30))
            console = Console(width=80, height=20, file=nowhere, record=True)
            table._console = console
            console.print(table.draw())
        finally:
            table.end()
    lines = console.export_text().splitlines()
    assert len(lines) <= 17
    assert any("stage20" in line and "trains the model" in line for line in lines)
    assert "stages before" in lines[0]
    assert "stages to come" in lines[-2]
    assert lines[-1].startswith("20 of 30 stages")
