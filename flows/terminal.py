"""Show a run in the terminal: stage n of N, live lines and bars, a closing table, scores and paths of results.

Prefect's own console output is hidden, because its API has the same lines. A flow run by a worker has no screen.
"""

import logging
import shutil
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TextIO

from flows import embedded, workspace
from flows.graph import Stage
from tasks.processes import die_with_make
from tasks.stage import one_line_errors

BAR_SECONDS = 5.0  # between two states of a bar that cannot be redrawn in place


class Screen:
    """A screen that shows nothing, for workers. `Terminal` is the visible one."""

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


class Terminal(Screen):
    def __init__(self, stream: TextIO):
        self._stream, self._live = stream, stream.isatty()
        self._rows: dict[str, tuple[str, float | None]] = {}
        self._drawn = False
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
        if self._live:
            self._stream.write("\r\x1b[2K" + f"  {text}"[: shutil.get_terminal_size().columns - 1])
            self._stream.flush()
            self._drawn = True
        elif time.monotonic() >= self._next_bar:
            self._next_bar = time.monotonic() + BAR_SECONDS
            self.write(f"  {text}")

    def write(self, text: str) -> None:
        self._stream.write(("\r\x1b[2K" if self._drawn else "") + text + "\n")
        self._stream.flush()
        self._drawn = False

    def table(self) -> None:
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
    terminal = Terminal(sys.stdout)
    _screen.set(terminal)
    with one_line_errors():
        with workspace.lock(), embedded.server():
            _quiet()
            try:
                result = flow(**given)
            finally:
                terminal.table()
        if isinstance(result, str):
            terminal.write(result)
            return
        from flows.results import summary

        terminal.write("\n" + "\n".join(summary()))


def _quiet() -> None:
    """Hide Prefect's own lines, which its API has too. Warnings of other libraries are still shown."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: not record.name.startswith("prefect"))
