"""Whether a text slips into another language: at its beginning, in its middle or at its end."""

import re

from tasks.text.languages import UNKNOWN, language_of

_WINDOW = 1_000  # characters of a stretch that is looked at
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


def foreign(text: str, language: str) -> str | None:
    """The other language, with the words that are in it, or None. Code between fences has no language; to `unknown` nothing is foreign."""
    if language == UNKNOWN:
        return None
    prose = _FENCE.sub(" ", text) if "```" in text else text
    for start in dict.fromkeys((0, max(0, (len(prose) - _WINDOW) // 2), max(0, len(prose) - _WINDOW))):
        stretch = prose[start : start + _WINDOW]
        if (seen := language_of(stretch)) not in (language, UNKNOWN):
            return f"{seen} instead of {language}: {' '.join(stretch.split())[:60]}"
    return None
