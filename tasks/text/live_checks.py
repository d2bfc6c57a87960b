"""Notice, while a text is written, that it cannot become a usable one: it loops, refuses, is in another language, or is far too long.

The text is checked after every EVERY characters, at the same places however it comes in pieces, so the same text always has the same
verdict. Each check reads a part of constant size at the text's end; the whole is linear in the text's length.
"""

import re
from typing import Literal, NamedTuple

from tasks.text.cleaning import refusal
from tasks.text.counts import count_words
from tasks.text.degeneration import looped
from tasks.text.languages import UNKNOWN, language_of

Cause = Literal["loop", "refusal", "language", "too_long"]
EVERY = 400  # characters between two checks
TAILS = ((800, 800), (1_600, 1_600), (3_200, 3_200), (6_400, 6_400))  # characters at the end searched for a loop, after so many each time
SHARE = 0.6  # share of looping words from which such an end is a loop, as in live_loops.py
REFUSED = 2  # checks at the beginning that look for a refusal
STRETCHES = 3  # stretches of EVERY characters in a row in another language that are a change of language
TIMES, SPARE = 4, 200  # real teachers stay within a factor of two, but count small numbers badly and add headings
_EVIDENCE = 60  # characters
_FENCE = re.compile(r"^[ \t]{0,3}```", re.MULTILINE)


class Watch(NamedTuple):
    """What is expected of a text that is checked while it is written."""

    language: str = UNKNOWN  # ISO 639 code; unknown: any
    words: int | None = None  # asked for; None: any number
    keeps: bool = False  # the caller can use the beginning of a text that is stopped


class StoppedReply(NamedTuple):
    """Why a text was stopped."""

    cause: Cause
    evidence: str
    at: int = 0  # characters of the text that were checked, white space before it not counted


class LiveCheck:
    """Reads a text piece by piece. `add` returns why the text should be stopped, once, or None."""

    def __init__(self, watch: Watch):
        self._watch = watch
        self._most = most_words(watch.words) if watch.words else None
        self._pending = list[str]()  # not yet checked, less than EVERY characters
        self._waiting = 0
        self._tail = ""  # the last characters that were checked
        self._length = self._words = self._checks = self._foreign = 0
        self._fenced = False
        self._begun = False

    def add(self, piece: str) -> StoppedReply | None:
        """Read the next piece. White space before the text does not count."""
        if not self._begun:
            piece = piece.lstrip()
            self._begun = bool(piece)
        self._pending.append(piece)
        self._waiting += len(piece)
        if self._waiting < EVERY:
            return None
        text = "".join(self._pending)
        for start in range(0, len(text) - EVERY + 1, EVERY):
            if found := self._check(text[start : start + EVERY]):
                return found
        rest = text[len(text) // EVERY * EVERY :]
        self._pending, self._waiting = [rest], len(rest)
        return None

    def _check(self, stretch: str) -> StoppedReply | None:
        self._tail = (self._tail + stretch)[-TAILS[-1][0] :]
        self._length += len(stretch)
        self._checks += 1
        self._words += max(0, count_words(stretch) - 1)  # a word at the border is counted twice otherwise
        found = self._refusal() or self._too_long() or self._language(stretch) or self._loop()
        return found._replace(at=self._length) if found else None

    def _refusal(self) -> StoppedReply | None:
        if self._checks <= REFUSED and (words := refusal(self._tail)):
            return StoppedReply("refusal", words[:_EVIDENCE])
        return None

    def _too_long(self) -> StoppedReply | None:
        if self._most is None or self._words <= self._most:
            return None
        return StoppedReply("too_long", f"over {self._most} words, {self._watch.words} asked for")

    def _language(self, stretch: str) -> StoppedReply | None:
        """A quotation of a few sentences, or code, in another language is no change of language."""
        fences = len(_FENCE.findall(stretch))
        code = self._fenced or fences > 0
        self._fenced ^= bool(fences % 2)
        if self._watch.language == UNKNOWN or code:
            return None
        seen = language_of(stretch)
        self._foreign = self._foreign + 1 if seen not in (self._watch.language, UNKNOWN) else 0
        if self._foreign < STRETCHES:
            return None
        return StoppedReply("language", f"{seen} instead of {self._watch.language}: {' '.join(stretch.split())[:_EVIDENCE]}")

    def _loop(self) -> StoppedReply | None:
        for size, after in TAILS:
            if self._length % after == 0 and looped(self._tail[-size:]) >= SHARE:
                return StoppedReply("loop", f"it repeats itself at character {self._length}: {' '.join(self._tail[-_EVIDENCE:].split())}")
        return None


def most_words(asked: int) -> int:
    """Words above which a text of `asked` words is far too long, and so a fault."""
    return max(TIMES * asked, asked + SPARE)


def find_stop(text: str, watch: Watch) -> StoppedReply | None:
    """Why a complete text would have been stopped while it came, or None."""
    return LiveCheck(watch).add(text)
