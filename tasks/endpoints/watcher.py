"""Check a streamed reply while it comes (tasks/text/live_checks.py), and stop it when it cannot become a usable one."""

import asyncio

from tasks.text.live_checks import LiveCheck, StoppedReply, Watch
from tasks.text.live_thoughts import LiveThoughts


class Watcher:
    """The listener of one request.

    Thoughts are checked for loops only, each block for itself; they may be in any language and of any length. The reflections of a
    thinking writer are alike, and no loop.
    """

    def __init__(self, watch: Watch):
        self.stopped = asyncio.Event()
        self.found: StoppedReply | None = None
        self.problem = ""  # why the stream ended before its end
        self._watch = watch
        self.begin()

    def begin(self) -> None:
        """A stream begins; a second one replaces the first."""
        self.problem, self.characters = "", 0
        self._answer, self._thoughts, self._splitter = LiveCheck(self._watch), LiveCheck(Watch()), LiveThoughts()
        self._thinking = False

    def piece(self, text: str, *, thought: bool) -> None:
        """A piece of the answer, which may have thoughts in tags at its beginning, or of the thoughts."""
        self.characters += len(text)
        if thought:
            self._splitter.reasoned()
            self._look(self._thoughts, text)
            return
        for part in self._splitter.add(text):
            if part.answers_were_thoughts:  # what came until now was none of the answer
                self._answer = LiveCheck(self._watch)
            if part.thought and not self._thinking:
                self._thoughts = LiveCheck(Watch())
            self._thinking = part.thought
            self._look(self._thoughts if part.thought else self._answer, part.text)

    def broken(self, why: str) -> None:
        """The stream ended before its end: the try has failed."""
        self.problem = why

    def _look(self, check: LiveCheck, text: str) -> None:
        if self.found is None and (found := check.add(text)):
            self.found = found
            self.stopped.set()
