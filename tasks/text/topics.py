"""Group prompts by topic: prompts that differ only in the requested length, such as one essay at four lengths, are one topic.

Scores of answers to one topic are correlated, so intervals and tests count a topic as one observation (tasks/statistics.py).
Linear in the text.
"""

import hashlib
import re

DIGITS = 16  # hexadecimal digits of a digest
_ENGLISH = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|"
    "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million"
)
_NUMBER = rf"""(?>
    \d(?:[\d.,’'_\u00a0\u202f]*\d)?+(?:[kK](?![A-Za-z])|[万萬千百])?  # 2000, 2,000, 2.5k, 1万
    |[零〇一二两兩三四五六七八九十百千万萬]+
    |\b(?:{_ENGLISH})\b
)"""
_LENGTH = re.compile(
    rf"""(?P<numbers>{_NUMBER}(?:(?>(?:[\s\-–—~～至到,]|and\b|to\b|or\b)*){_NUMBER})*+)  # two hundred and fifty; 1,000-1,200
    (?P<unit>(?>[\s\-]*)(?:多|余|餘|来|個|个)?(?:words?\b|characters?\b|chars?\b|tokens?\b|字|词|詞|汉字|漢字|单词|單詞|文字|語|자|단어))?""",
    re.VERBOSE | re.IGNORECASE,
)
_SEPARATORS = str.maketrans("", "", ",.’'_\u00a0\u202f ")


def prompt_digest(prompt: str) -> str:
    """The first 16 hexadecimal digits of the prompt's SHA-256."""
    return _digest(prompt)


def topic_of(prompt: str, length: int) -> str:
    """The digest of the prompt with lengths masked: numbers before a unit such as words or 字, and `length` itself.

    16 hexadecimal digits. White space is collapsed.
    """
    asked = str(length)

    def masked(found: re.Match[str]) -> str:
        stated = found["unit"] or found["numbers"].translate(_SEPARATORS) == asked
        return f" # {(found['unit'] or '').strip(' -')}" if stated else found[0]

    return _digest(" ".join(_LENGTH.sub(masked, prompt).split()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
