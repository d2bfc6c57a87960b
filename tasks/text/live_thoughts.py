"""Separate thoughts from the answer while a reply is streamed. The rules are those of thoughts.py, which reads whole replies."""

import re
from typing import NamedTuple

from tasks.text.thoughts import SplitReply, split_thoughts

HELD = 48  # characters at the beginning that may still become a tag, and at the end that may be half of one
_MAY_BEGIN = re.compile(r"[\s\ufeff]*(?:$|[<\[◁]|a(?:n(?:a(?:l(?:y(?:s(?:is?)?)?)?)?)?)?$|analysis)")
_MAY_CLOSE = re.compile(r"/\s{0,2}(?:seed:)?(?:think|thought|reason)|END_THINKING|end_of_thought|\|message\||assistantfinal", re.IGNORECASE)
_HALF_TAG = re.compile(r"[<\[◁][^>\]▷\s]{0,30}\Z")
_OPENING = re.compile(r"[\s\ufeff]*(?:(?:<[^>]{1,30}>|\[THINK\]|◁think▷|analysis)\s*)+")


class LivePart(NamedTuple):
    """A piece of the reply. `answers_were_thoughts`: what was given as the answer until now was thoughts."""

    text: str
    thought: bool = False
    answers_were_thoughts: bool = False


class LiveThoughts:
    """Reads the text of a reply piece by piece. Linear in the reply's length, apart from tags."""

    def __init__(self) -> None:
        self._whole: list[str] = []
        self._tail = ""  # last characters, for tags that come in pieces
        self._held = ""  # not given out yet
        self._given = 0  # characters of thoughts that were given out
        self._state = "begin"  # then "thinking" or "answer"
        self._told = False  # were there thoughts before the answer?

    def add(self, piece: str) -> list[LivePart]:
        """What can be shown now."""
        self._whole.append(piece)
        self._tail = (self._tail + piece)[-HELD - len(piece) :]
        self._held += piece
        match self._state:
            case "begin":
                return self._begin()
            case "thinking":
                return self._think()
        return self._answer()

    def end(self) -> list[LivePart]:
        """What was held back until the end."""
        if self._state == "thinking" and (split := self._split()).text:
            return self._close(split)
        held, self._held = self._held, ""
        return [LivePart(held, thought=self._state == "thinking")] if held else []

    def _begin(self) -> list[LivePart]:
        split = split_thoughts(self._held)
        if split.text != self._held:
            self._state, self._told = "thinking", True
            self._held = _OPENING.sub("", self._held, count=1)
            return self._think()
        if _MAY_BEGIN.match(self._held) and len(self._held) < HELD:
            return []
        self._state = "answer"
        return self._answer()

    def _think(self) -> list[LivePart]:
        if _MAY_CLOSE.search(self._tail) and (split := self._split()).text:
            more = _MAY_BEGIN.match(split.text) and len(split.text) < HELD  # the answer's first characters may become another tag
            return [] if more else self._close(split)
        shown, self._held = self._held[:-HELD], self._held[-HELD:]
        self._given += len(shown)
        return [LivePart(shown, thought=True)] if shown else []

    def _close(self, split: SplitReply) -> list[LivePart]:
        self._state, self._held = "answer", ""
        rest = split.reasoning[self._given :]
        return [*([LivePart(rest, thought=True)] if rest else []), LivePart(split.text)]

    def _answer(self) -> list[LivePart]:
        half = None if self._told else _HALF_TAG.search(self._held[-HELD:])
        cut = len(self._held) - len(half[0]) if half else len(self._held)
        held, self._held = self._held[:cut], self._held[cut:]
        if not self._told and _MAY_CLOSE.search(self._tail) and (split := self._split()).reasoning:
            self._told, self._held = True, ""
            return [LivePart(split.reasoning[self._given :], thought=True, answers_were_thoughts=True), LivePart(split.text)]
        self._given += len(held if self._given else held.lstrip())
        return [LivePart(held)] if held else []

    def _split(self) -> SplitReply:
        """The reply so far; the end of its text is not stripped, because it goes on."""
        whole = "".join(self._whole)
        split = split_thoughts(whole)
        return split._replace(text=split.text + whole[len(whole.rstrip()) :]) if split.text else split
