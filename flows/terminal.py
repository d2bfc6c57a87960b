"""Show a run: in a terminal one live table of its stages (live_table.py), elsewhere plain lines; at its end scores, verdict and pages.

Prefect's own console output is hidden, because its API has the same lines. A flow run by a worker has no screen.
"""

import logging
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TextIO

from flows import embedded, workspace
from flows.graph import Stage
from tasks.processes import die_with_make
from tasks.stage import one_line_errors

BAR_SECONDS = 5.0  # between two states of a bar, where it cannot be redrawn in place


class Screen:
    """A screen that shows nothing, for workers. `PlainLines` and `LiveTable` are the visible ones."""

    def begin(self, names: list[str]) -> None:
        """Called with the stages of the run, in order."""

    def stage_begins(self, stage: Stage) -> None:
        """Called when a stage begins."""

    def stage_ends(self, stage: Stage, state: str, seconds: float) -> None:
        """Called when a stage ends, with its state and duration."""

    def line(self, text: str) -> None:
        """Show a complete line of a stage's output."""

    def bar(self, text: str) -> None:
        """Show a state of a progress bar; the next one replaces it."""

    def write(self, text: str) -> None:
        """Show a text of this process itself."""

    def end(self) -> None:
        """Called when the run has ended, for any reason."""


class PlainLines(Screen):
    """Output without a terminal: whole lines, and the progress at most every BAR_SECONDS."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._rows: dict[str, tuple[str, float | None]] = {}
        self._next_bar = 0.0

    def begin(self, names: list[str]) -> None:
        self._rows = dict.fromkeys(names, ("not started", None))

    def stage_begins(self, stage: Stage) -> None:
        self.write(f"stage {stage.number} of {stage.total}: {stage.name}" + (f" · {stage.desc}" if stage.desc else ""))

    def stage_ends(self, stage: Stage, state: str, seconds: float) -> None:
        self._rows[stage.name] = (state, seconds)
        self.write(f"  {state}" + ("" if state == "Cached" else f" in {seconds:.1f} s"))

    def line(self, text: str) -> None:
        self.write(f"  {text}")

    def bar(self, text: str) -> None:
        if time.monotonic() >= self._next_bar:
            self._next_bar = time.monotonic() + BAR_SECONDS
            self.write(f"  {text}")

    def write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Show every stage with its state and seconds."""
        if self._rows:
            width = max(map(len, self._rows))
            self.write("")
            for name, (state, seconds) in self._rows.items():
                self.write(f"  {name:<{width}}  {state:<11}" + ("" if seconds is None else f"{seconds:8.1f} s"))


_screen: ContextVar[Screen] = ContextVar("screen")


def screen() -> Screen:
    return _screen.get(Screen())


def show(flow: Callable[..., object], **given: object) -> None:
    """Run a flow in this process and show it. A result that is text is printed, else the summary. Exits the process on an error."""
    die_with_make()
    shown = _visible(sys.stdout)
    _screen.set(shown)
    with one_line_errors():
        with workspace.lock(), embedded.server():
            _quiet()
            try:
                result = flow(**given)
            finally:
                shown.end()
        if isinstance(result, str):
            shown.write(result)
            return
        from flows.results import summary

        shown.write("\n" + "\n".join(summary()))


def _visible(stream: TextIO) -> Screen:
    if not stream.isatty():
        return PlainLines(stream)
    from flows.live_table import LiveTable

    return LiveTable(stream)


def _quiet() -> None:
    """Hide Prefect's own lines, which its API has too. Warnings of other libraries are still shown."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: not record.name.startswith("prefect"))
