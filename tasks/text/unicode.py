"""Unicode normalization in linear time.

`unicodedata.normalize` sorts the marks after a letter by insertion: 100,000 marks in a row take minutes. Real text has a few marks
per letter. Runs of more than 30 marks, the limit of the Stream-Safe Text Format (UAX #15), are left unchanged here.
"""

import re
import sys
import unicodedata
from functools import cache
from typing import Literal

_MOST = 30  # marks in a row
_SIGNS = re.compile(rf"\W{{{_MOST + 1}}}")  # marks are in \W: without such a run, as in most texts, no further check is needed


def normalized(form: Literal["NFC", "NFKC"], text: str) -> str:
    """The text in a normalization form, except runs of more than 30 combining marks."""
    if text.isascii():
        return text
    if not _SIGNS.search(text) or not _long_runs().search(text):
        return unicodedata.normalize(form, text)
    parts = _long_runs().split(text)
    return "".join(part if place % 2 else unicodedata.normalize(form, part) for place, part in enumerate(parts))


@cache
def _long_runs() -> re.Pattern[str]:
    marks = [code for code in range(0x300, sys.maxunicode + 1) if unicodedata.combining(chr(code))]
    ranges = list[list[int]]()
    for code in marks:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    inside = "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges)
    return re.compile(f"([{inside}]{{{_MOST + 1},}})")
