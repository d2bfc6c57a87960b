"""Detect a change of language at the beginning, in the middle or at the end of a text."""

import re

from tasks.text.languages import UNKNOWN, language_of

_WINDOW = 1_000  # characters of each stretch that is checked
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


def other_language(text: str, language: str) -> str | None:
    """The other language, with words in it, or None. Fenced code is skipped. If `language` is `unknown`, the result is None."""
    if language == UNKNOWN:
        return None
    prose = _FENCE.sub(" ", text) if "```" in text else text
    for start in dict.fromkeys((0, max(0, (len(prose) - _WINDOW) // 2), max(0, len(prose) - _WINDOW))):
        stretch = prose[start : start + _WINDOW]
        if (seen := language_of(stretch)) not in (language, UNKNOWN):
            return f"{seen} instead of {language}: {' '.join(stretch.split())[:60]}"
    return None
