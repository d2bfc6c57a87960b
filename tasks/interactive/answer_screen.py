"""Show one answer while it is streamed: its text, folded thoughts, and one moving line with words, pace and loops.

In a terminal, complete lines are printed and the last one is redrawn four times a second. Elsewhere nothing is shown.
"""

import asyncio
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tasks.endpoints.chat import Reply
from tasks.interactive.terminal_text import Lines, SafeText
from tasks.text.length_requests import LengthRequest
from tasks.text.live_loops import TAILS, ends_in_loop
from tasks.text.live_thoughts import LiveThoughts
from tasks.text.words import count_fixed

EVERY = 400  # characters between two searches for a loop
LOOP = "it repeats itself"


class AnswerScreen:
    """A listener of one answer. `thoughts`: show them dimmed, not folded to one line. `stop_loops`: end the answer when it loops."""

    def __init__(self, console: Console, *, asked: LengthRequest, stop_loops: bool, thoughts: bool):
        self.stopped = asyncio.Event()
        self.has_begun = False
        self.note = ""  # why the answer is not whole
        self._console, self._asked, self._stop_loops, self._show_thoughts = console, asked, stop_loops, thoughts
        self._live = Live(self, console=console, transient=True, refresh_per_second=4, auto_refresh=console.is_terminal)
        self._start = time.monotonic()
        self._clear()

    def _clear(self) -> None:
        self._answer, self._thoughts = list[str](), list[str]()
        self._splitter, self._safe, self._safe_thoughts = LiveThoughts(), SafeText(), SafeText()
        self._lines, self._thought_lines = Lines(self._console.width), Lines(self._console.width)
        self._tail, self._unsearched, self.loops = "", 0, False
        self._first: float | None = None
        self._thoughts_shown = False  # as an answer, before the model closed them
        self._counted, self._words = 0, 0  # parts counted, and their words

    def __enter__(self) -> "AnswerScreen":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._flush()
        if self._console.is_terminal:
            self._live.stop()

    def begin(self) -> None:
        """A stream begins; a second one replaces the first."""
        if self._answer or self._thoughts:
            self._say("the request is sent again, and the answer begins again below")
        self._clear()

    def piece(self, text: str, *, thought: bool) -> None:
        """Show what came."""
        self.has_begun = True
        self._first = self._first or time.monotonic()
        if thought:
            self._splitter.reasoned()
            self._think(text)
            return
        for part in self._splitter.add(text):
            if part.answers_were_thoughts:
                self._relabel()
            if part.thought:
                self._think(part.text)
            else:
                self._say_answer(part.text)

    def broken(self, why: str) -> None:
        """The stream ended before its end."""
        self.note = why

    def words(self) -> int:
        """Words of the answer so far, in any language."""
        if self._counted != len(self._answer):
            self._counted, self._words = len(self._answer), count_fixed("".join(self._answer))
        return self._words

    def whole(self, reply: Reply) -> None:
        """Show an answer that came in one piece, from a server that does not stream."""
        if not self.has_begun:
            if reply.reasoning:
                self._think(reply.reasoning)
            self._say_answer(reply.text)

    def __rich__(self) -> Group:
        pending = self._thought_lines.pending if not self._answer else self._lines.pending
        parts = [Text(pending, style="dim" if not self._answer else "")] if pending and (self._answer or self._show_thoughts) else []
        return Group(*parts, self._status())

    def _status(self) -> Text:
        seconds = time.monotonic() - self._start
        if self._first is None:
            return Text(f"waiting for the first word · {seconds:.0f} s · Ctrl-C gives up", style="dim")
        if not self._answer:
            return Text(f"thinking · {count_fixed(''.join(self._thoughts)):,} words · {seconds:.0f} s · Ctrl-C stops", style="dim")
        words = self.words()
        pace = words / max(0.1, time.monotonic() - self._first)
        said = Text(f"{length(words, self._asked)} · {pace:.0f} words/s · {seconds:.0f} s · Ctrl-C stops", style="dim")
        return said.append(f" · {LOOP}", style="bold red") if self.loops else said

    def _think(self, text: str) -> None:
        self._thoughts.append(text)
        if self._show_thoughts:
            self._out(self._thought_lines, self._safe_thoughts.add(text), style="dim")

    def _say_answer(self, text: str) -> None:
        if not self._answer:
            self._fold()
            text = text.lstrip()
            if not text:
                return
        self._answer.append(text)
        self._out(self._lines, self._safe.add(text))
        self._tail = (self._tail + text)[-TAILS[-1] :]
        self._unsearched += len(text)
        if self._unsearched >= EVERY:
            self._unsearched = 0
            self.loops = ends_in_loop(self._tail)
            if self.loops and self._stop_loops and not self.stopped.is_set():
                self.note = f"stopped: {LOOP}"
                self.stopped.set()

    def _fold(self) -> None:
        """Close the thoughts: their last line, or one line in their place."""
        if not self._thoughts or self._thoughts_shown:
            return
        if self._show_thoughts:
            self._out(self._thought_lines, self._safe_thoughts.end() + "\n", style="dim")
        elif self._console.is_terminal:
            self._say(f"thoughts: {count_fixed(''.join(self._thoughts)):,} words; /thoughts shows them")

    def _relabel(self) -> None:
        """The model closed thoughts that it never opened: what was shown as the answer was thoughts."""
        self._flush()
        self._thoughts, self._answer = [*self._thoughts, *self._answer], []
        self._say("the text above was the model's thoughts; the answer begins here")
        self._tail, self._counted, self._words = "", 0, 0
        self._thoughts_shown = True

    def _flush(self) -> None:
        """Show what was held back."""
        for part in self._splitter.end():
            (self._think if part.thought else self._say_answer)(part.text)
        if self._answer:
            self._out(self._lines, self._safe.end())
            for line in self._lines.end():
                self._line(line)

    def _out(self, lines: Lines, text: str, *, style: str = "") -> None:
        for line in lines.add(text):
            self._line(line, style)

    def _line(self, line: str, style: str = "") -> None:
        if self._console.is_terminal:
            self._console.print(Text(line, style=style), no_wrap=True, overflow="ignore", crop=False)

    def _say(self, text: str) -> None:
        if self._console.is_terminal:
            self._console.print(Text(text, style="dim italic"))


def length(words: int, asked: LengthRequest) -> str:
    """Words against the words asked for."""
    if not asked.target:
        return f"{words:,} words"
    sign = {"least": "at least ", "most": "at most "}.get(asked.kind, "")
    low = f"{asked.low:,} to " if asked.kind == "range" and asked.low else ""
    return f"{words:,} of {sign}{low}{asked.target:,} words"
