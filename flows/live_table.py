"""The screen of a run in a terminal: one table of its stages. The running stage's bar and clock move every second, and the spend with them.

Lines of the stages are printed above the table. Stages that do not fit the window are folded to one line.
"""

import re
import sys
import time
from pathlib import Path
from typing import NamedTuple, TextIO

from rich.console import Console, Group
from rich.file_proxy import FileProxy
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from flows.graph import Stage
from flows.terminal import Screen
from tasks.endpoints.ledger import cost
from tasks.endpoints.replay import JOURNAL, paid_since
from tasks.schema.records import Usage
from tasks.schema.settings import settings

PER_SECOND = 4  # redraws
LEFT = 7  # rows of the window that the table leaves for lines and figures
BAR = re.compile(r"(?P<label>[^|]*?):?\s*(?P<percent>\d{1,3})%\|[^|]*\|\s*(?P<rest>.*)")  # as tqdm draws it
NOISE = re.compile(r"[\s!]*|.*\[\d\d:\d\d[^\]]*\]\s*")  # what DVC's bars leave behind; a bar without a whole
STYLES = {"Completed": ("✓", "green"), "Cached": ("·", "dim"), "Failed": ("✗", "bold red"), "Stopped": ("✗", "bold red")}
STYLES |= {"Restored": ("↓", "green"), "Cancelled": ("✗", "bold red")}


class Bar(NamedTuple):
    """A state of a stage's progress bar. `percent` is None where the whole is not known."""

    percent: int | None
    text: str


def read_bar(text: str) -> Bar:
    """A bar of tqdm, or any other text that is redrawn."""
    found = BAR.fullmatch(text)
    return Bar(min(100, int(found["percent"])), found["rest"]) if found else Bar(None, text)


class Spend:
    """What the journal gained since the run began, read as it grows."""

    def __init__(self, path: Path):
        self._path, self._place = path, path.stat().st_size if path.exists() else 0
        self._next = 0.0
        self.calls, self.dollars = 0, 0.0

    def __str__(self) -> str:
        if not self.calls:
            return ""
        cap = settings().spend_cap
        return f"{self.calls:,} calls, ${self.dollars:,.2f}" + (f" (cap ${cap:,.2f})" if cap is not None else "")

    def look(self) -> None:
        """Read what is new, at most once a second."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 1.0
        new, self._place = paid_since(self._path, self._place)
        prices = settings().prices
        self.calls += len(new)
        self.dollars += sum(
            cost(Usage(one.prompt, one.completion, one.cached), prices[one.model], batched=one.batched)
            for one in new
            if one.model in prices
        )


class _Row(NamedTuple):
    name: str
    state: str = ""
    seconds: float | None = None


class LiveTable(Screen):
    """A table that is redrawn in place."""

    def __init__(self, stream: TextIO):
        self._console = Console(file=stream, highlight=False)
        self._rows: list[_Row] = []
        self._running: Stage | None = None
        self._stage_began = self._began = time.monotonic()
        self._bar: Bar | None = None
        self._spinner = Spinner("dots")
        self._spend = Spend(settings().home / JOURNAL)
        self._whole = False  # all rows, however many: the last state, which stays on the screen
        self._live: Live | None = None

    def begin(self, names: list[str]) -> None:
        self._rows = [_Row(name) for name in names]
        self._live = Live(get_renderable=self.draw, console=self._console, refresh_per_second=PER_SECOND)
        self._live.start()
        if isinstance(sys.stderr, FileProxy):  # Live's: what is written to it is printed above the table
            sys.stderr.isatty = lambda: False  # type: ignore[method-assign]  # so that DVC draws no bars of its own there

    def stage_begins(self, stage: Stage) -> None:
        self._running, self._bar, self._stage_began = stage, None, time.monotonic()

    def stage_ends(self, stage: Stage, state: str, seconds: float) -> None:
        self._rows = [_Row(row.name, state, seconds) if row.name == stage.name else row for row in self._rows]
        self._running = self._bar = None

    def line(self, text: str) -> None:
        if not (BAR.fullmatch(text) or NOISE.fullmatch(text)):  # a bar's last state is no line: the table has the stage's time
            self.write(f"{self._running.name}: {text}" if self._running else text)

    def bar(self, text: str) -> None:
        self._bar = read_bar(text)

    def write(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def end(self) -> None:
        if self._live:
            self._whole = True
            self._live.stop()
            self._live = None

    def draw(self) -> Group:
        """The table and the figures below it."""
        self._spend.look()
        table = Table(box=None, padding=(0, 1), show_header=False, expand=False)
        table.add_column(width=1)
        table.add_column(no_wrap=True, min_width=max((len(row.name) for row in self._rows), default=0))
        table.add_column(no_wrap=True, min_width=6, justify="right", style="dim")
        table.add_column(no_wrap=True, overflow="ellipsis")
        first, last = self._window()
        if first:
            table.add_row("", Text(f"{first} stages before", style="dim"), "", "")
        for row in self._rows[first:last]:
            self._add(table, row)
        if last < len(self._rows):
            table.add_row("", Text(f"{len(self._rows) - last} stages to come", style="dim"), "", "")
        return Group(table, self._figures())

    def _window(self) -> tuple[int, int]:
        """First and last row that are shown: around the running stage, as many as the window has room for."""
        room = max(3, self._console.height - LEFT)
        if self._whole or len(self._rows) <= room:
            return 0, len(self._rows)
        at = next((place for place, row in enumerate(self._rows) if self._runs(row)), sum(bool(row.state) for row in self._rows))
        first = max(0, min(at - room // 2, len(self._rows) - room))
        return first, first + room

    def _runs(self, row: _Row) -> bool:
        return self._running is not None and self._running.name == row.name

    def _add(self, table: Table, row: _Row) -> None:
        if self._runs(row):
            assert self._running
            seconds = time.monotonic() - self._stage_began
            table.add_row(self._spinner, Text(row.name, style="bold cyan"), clock(seconds), self._progress(self._running))
            return
        mark, style = STYLES.get(row.state, ("✗", "bold red")) if row.state else ("", "dim")
        time_spent = "" if row.seconds is None or row.state == "Cached" else clock(row.seconds)
        table.add_row(Text(mark, style=style), Text(row.name, style=style), time_spent, Text(row.state.lower(), style=style))

    def _progress(self, stage: Stage) -> Table | Text:
        if self._bar is None:
            return Text(stage.desc or "", style="dim")
        if self._bar.percent is None:
            return Text(self._bar.text, style="dim")
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=24)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row(
            ProgressBar(total=100, completed=self._bar.percent, width=24), Text(f"{self._bar.percent}% {self._bar.text}", style="dim")
        )
        return grid

    def _figures(self) -> Text:
        done = sum(bool(row.state) for row in self._rows)
        said = [f"{done} of {len(self._rows)} stages", clock(time.monotonic() - self._began), str(self._spend)]
        return Text(" · ".join(filter(None, said)), style="bold")


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02}" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02}"
