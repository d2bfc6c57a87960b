"""Find a quote in a text, with the place of each of its characters in the text itself.

Texts and quotes are compared in NFKC, with white space as single spaces and typographic quotation marks as plain ones, because JSON and
language models change exactly these. Everything else has to be the same, also upper and lower case. Linear in the text.
"""

import re
import unicodedata
from array import array
from typing import NamedTuple

from tasks.text.unicode import normalized

# White space that is no single space; characters that are not ASCII, with the one before them, which a mark may belong to.
_CHANGING = re.compile(r"\s{2,}|[^\S ]|[!-~]?[^\x00-\x7f\s]+")
_COMBINING = "\u0300-\u036f\u1160-\u11ff\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u3099\u309a\ufe20-\ufe2f\uff9e\uff9f"
_LETTER = re.compile(f".[{_COMBINING}]{{0,30}}", re.DOTALL)  # a character with the marks that NFKC may join to it
_MARKS = str.maketrans({**dict.fromkeys("“”„‟«»〝〞＂", '"'), **dict.fromkeys("‘’‚‛＇`´", "'")})
_AROUND = "\"' "


class Span(NamedTuple):
    """Characters of a text, from `start` up to before `end`."""

    start: int
    end: int

    def overlaps(self, other: "Span") -> bool:
        return self.start < other.end and other.start < self.end


class Quotable(NamedTuple):
    """A text in comparable form, with the place of each of its characters in the text."""

    folded: str
    starts: "array[int]"  # by character of `folded`; one more for the end of the text

    def find(self, quote: str, within: Span | None = None) -> Span | None:
        """The first place of a quote, inside `within` if that is given; None if the text does not have it.

        Quotation marks around the quote may be the quote's own, so the text need not have them.
        """
        plain = quotable(quote).folded.strip()
        return next((found for key in (plain, plain.strip(_AROUND)) if key and (found := self._find(key, within))), None)

    def _find(self, key: str, within: Span | None) -> Span | None:
        place = -1
        while (place := self.folded.find(key, place + 1)) >= 0:
            span = self._span(place, place + len(key))
            if within is None or (within.start <= span.start and span.end <= within.end):
                return span
            if within and span.start >= within.end:
                return None
        return None

    def _span(self, first: int, end: int) -> Span:
        start, behind = self.starts[first], self.starts[end]
        while end < len(self.folded) and behind == self.starts[end - 1]:  # it ends inside a character that became several
            end += 1
            behind = self.starts[end]
        return Span(start, behind)


def quotable(text: str) -> Quotable:
    """Returns the text in the form in which quotes are found."""
    text, parts, starts, place = text.translate(_MARKS), list[str](), array("q"), 0
    for match in _CHANGING.finditer(text):
        if match[0].isspace():
            changed = [(match.start(), " ")]
        elif unicodedata.is_normalized("NFKC", match[0]):
            continue
        else:
            changed = [(match.start() + one.start(), normalized("NFKC", one[0])) for one in _LETTER.finditer(match[0])]
        parts.append(text[place : match.start()])
        starts.extend(range(place, match.start()))
        for start, piece in changed:
            parts.append(piece)
            starts.extend([start] * len(piece))
        place = match.end()
    starts.extend(range(place, len(text) + 1))
    return Quotable("".join([*parts, text[place:]]), starts)
