"""Separate thoughts from the answer while a reply is streamed. The rules are those of thoughts.py, which reads whole replies."""

import re
from typing import NamedTuple

from tasks.text.thoughts import FENCE, GAP, TAG, SplitReply, closing_block, opens_block, split_leading

HELD = 48  # characters at the beginning that may still become a tag, and at the end that may be half of one
_MAY_BEGIN = re.compile(r"[\s\ufeff]*(?:$|[<\[◁]|a(?:n(?:a(?:l(?:y(?:s(?:is?)?)?)?)?)?)?$|analysis)")
_MAY_CLOSE = re.compile(r"/\s{0,2}(?:seed:)?(?:think|thought|reason)|END_THINKING|end_of_thought|\|message\||assistantfinal", re.IGNORECASE)
_HALF_TAG = re.compile(r"[<\[◁][^>\]▷\s]{0,30}\Z")
_HALF_MARK = re.compile(r"(?:[<\[◁][^>\]▷\n]{0,30}|\n`{0,2})\Z")  # half of a tag or of a code fence
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
        self._state = "begin"  # then "thinking" or "answer"; "between": thoughts between paragraphs
        self._told = False  # were there thoughts before the answer?
        self._before, self._fences = "\n", 0  # the end of the answer so far, and its code fences: they decide what a tag means

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
            case "between":
                return self._between()
        return self._answer()

    def reasoned(self) -> None:
        """The server sends the first thoughts by themselves: tags between paragraphs are thoughts, too."""
        if self._state == "begin":
            self._told = True

    def end(self) -> list[LivePart]:
        """What was held back until the end."""
        if self._state == "thinking" and (split := self._split()).text:
            return self._close(split)
        parts, before = list[LivePart](), ""
        while self._state == "between" and self._held != before:  # several blocks may have come in the last piece
            before = self._held
            parts += self._between(ended=True)
        held, self._held = self._held, ""
        if self._state == "between":  # the thoughts were cut off
            held = TAG.sub("", held, count=1)
        return [*parts, *([LivePart(held, thought=self._state in ("thinking", "between"))] if held else [])]

    def _begin(self) -> list[LivePart]:
        split = split_leading(self._held)
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
        self._state, self._held = "answer", split.text
        rest = split.reasoning[self._given :]
        return [*([LivePart(rest, thought=True)] if rest else []), *self._after_thoughts()]

    def _after_thoughts(self) -> list[LivePart]:
        """The answer after thoughts, up to the next thoughts between two paragraphs."""
        window, start = self._before + self._held, len(self._before)
        for tag in TAG.finditer(window, start):
            if tag["open"] and opens_block(tag, self._fences + window.count(FENCE, start - 1, tag.start())):
                shown, self._state, self._held = window[start : tag.start()], "between", window[tag.start() :]
                self._fences += window.count(FENCE, start - 1, tag.start())
                return [*([LivePart(shown)] if shown else []), *self._between()]
        half = _HALF_MARK.search(window, max(start, len(window) - HELD))
        shown, self._held = window[start : half.start() if half else None], window[half.start() :] if half else ""
        self._fences += window.count(FENCE, start - 1, start + len(shown))
        self._before = (self._before + shown)[-GAP:]
        return [LivePart(shown)] if shown else []

    def _between(self, *, ended: bool = False) -> list[LivePart]:
        """Thoughts between two paragraphs, once they are complete: the next paragraph has begun, or the reply has `ended`."""
        if not ended and not self._held[-1:].strip():
            return []
        tags = list(TAG.finditer(self._held))
        closing = closing_block(tags)
        if closing is None or (not ended and closing.end == len(self._held)):
            return []
        thoughts = self._held[tags[0].end() : closing.start].strip()
        self._state, self._held, self._before = "answer", self._held[closing.end :], "\n\n"
        return [*([LivePart(thoughts, thought=True)] if thoughts else []), *self._after_thoughts()]

    def _answer(self) -> list[LivePart]:
        if self._told:
            return self._after_thoughts()
        half = _HALF_TAG.search(self._held[-HELD:])
        cut = len(self._held) - len(half[0]) if half else len(self._held)
        held, self._held = self._held[:cut], self._held[cut:]
        if _MAY_CLOSE.search(self._tail) and (split := self._split()).reasoning:
            self._told, self._held = True, split.text
            thoughts = LivePart(split.reasoning[self._given :], thought=True, answers_were_thoughts=True)
            return [thoughts, *self._after_thoughts()]
        self._given += len(held if self._given else held.lstrip())
        return [LivePart(held)] if held else []

    def _split(self) -> SplitReply:
        """The reply so far; the end of its text is not stripped, because it goes on."""
        whole = "".join(self._whole)
        split = split_leading(whole)
        return split._replace(text=split.text + whole[len(whole.rstrip()) :]) if split.text else split
