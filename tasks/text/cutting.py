"""Cut a text at the end of a sentence, so that a shorter text is left which still ends like a text."""

import re
from bisect import bisect_right
from collections.abc import Sequence

from tasks.text.counts import count_words
from tasks.text.endings import stops_short

ENDS = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？…]+[”’」』）]*|\n")  # ends of sentences and of lines
# A sentence does not begin in lower case.
_SENTENCES = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]*_]*+(?=\s+[^\sa-z]|\s*\Z)|[。！？…]+[”’」』）*_]*")
_ABBREVIATION = re.compile(r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|no|fig|jr|sr|e\.g|i\.e|[A-Z]))\.\Z", re.IGNORECASE)
_MARKER = re.compile(r"\W*(?:\d{1,3}|[A-Za-z])[.)]\W*\Z")  # a line with nothing but the number of a list
_HEADING = re.compile(r"\s*#|\s*[*_]{2}[^*_\n]*[*_]{2}\W*\Z")
_TRIED = 40  # ends that are tried, before a text counts as one without a fitting end


def up_to(text: str, most: int) -> str:
    """The text up to the last end of a sentence or of a line within `most` words; empty if not even the first fits."""
    ends = [found.end() for found in ENDS.finditer(text)]
    last = _last_within(text, ends, most)
    return text[: ends[last - 1]].rstrip() if last else ""


def sentences_up_to(text: str, most: int, *, least: int, longest: int) -> str | None:
    """The text up to the last end of a sentence within `most` words; None if no end leaves `least` to `longest` words.

    The end of a heading, an abbreviation, the number of a list and an end within a quotation or within bold text are no ends. If fewer
    than `least` words fit, the text goes on to the next end.
    """
    ends = [found.end() for found in _SENTENCES.finditer(text)]
    last = _last_within(text, ends, most)
    for end in (*reversed(ends[max(0, last - _TRIED) : last]), *ends[last : last + _TRIED]):
        cut = text[:end].rstrip()
        words = count_words(cut)
        if words > longest:
            return None
        if words >= least and _is_end(cut):
            return cut
    return None


def _last_within(text: str, ends: Sequence[int], most: int) -> int:
    """The number of ends within `most` words."""
    return bisect_right(ends, most, key=lambda end: count_words(text[:end]))


def _is_end(cut: str) -> bool:
    line = cut.rpartition("\n")[2]
    if _MARKER.match(line) or _HEADING.match(line) or _ABBREVIATION.search(line):
        return False
    paragraph = cut.rpartition("\n\n")[2]
    open_marks = paragraph.count("“") > paragraph.count("”") or paragraph.count('"') % 2 or paragraph.count("**") % 2
    return not open_marks and not stops_short(cut, said=True)
