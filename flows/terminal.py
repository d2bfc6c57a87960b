"""What a person sees of a run: stage n of N, live lines and bars, a closing table, the scores and where everything is.

Prefect's own console output stays out of it; its API has the same lines. A flow that a worker runs has no screen.
"""

import logging
import shutil
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TextIO

from flows import embedded, workspace
from flows.graph import Stage
from tasks.processes import die_with_make
from tasks.stage import one_line_errors

BAR_SECONDS = 5.0  # between two states of a bar where it cannot be redrawn in place


class Screen:
    """No screen: what a worker has. `Terminal` is the one that shows."""

    def begin(self, names: list[str]) -> None:
        """The stages of the run, in order."""

    def stage_begins(self, stage: Stage) -> None:
        """A stage's turn has come."""

    def stage_ends(self, stage: Stage, state: str, seconds: float) -> None:
        """A stage is over."""

    def line(self, text: str) -> None:
        """A whole line of a stage's output."""

    def bar(self, text: str) -> None:
        """The state of a progress bar; the next one replaces it."""


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
        """Every stage with its state and seconds."""
        if self._rows:
            width = max(map(len, self._rows))
            self.write("")
            for name, (state, seconds) in self._rows.items():
                self.write(f"  {name:<{width}}  {state:<11}" + ("" if seconds is None else f"{seconds:8.1f} s"))


_screen: ContextVar[Screen] = ContextVar("screen")


def screen() -> Screen:
    return _screen.get(Screen())


def show(flow: Callable[..., Any], **given: Any) -> None:
    """Run a flow here and now, and show it; exits the process unless all went well. A result that is text is printed."""
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
    """Keep Prefect's own lines off the terminal: its API has them. Other libraries' warnings still show."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: not record.name.startswith("prefect"))
