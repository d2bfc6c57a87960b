"""Read the word count and the main point from a line of a plan.

Full-width characters are folded one to one, and only for matching; the main point keeps the teacher's characters.
"""

import re
from typing import NamedTuple

from tasks.text.numbers import FIGURES, NUMBER, number

LONGEST_LINE = 4000  # characters of a line that are read
MAX_WORDS = 100_000  # words of one paragraph or chapter; a larger count is an error


class PlanLine(NamedTuple):
    """A line of a plan."""

    number: int
    point: str
    words: int | None  # None: the teacher gave no count


_FOLD = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_UNIT = r"(?:[\s-]*(?:words?|characters?|chars?)\b|\s*(?:多|余|来)?个?(?:汉字|字符|字|词)(?!\w*[：:])(?:左右|上下|以内|以上)?)"
_ABOUT = (
    r"(?:\s|~|≈|\b(?:about|around|approx(?:imately|\.)?|roughly|circa|ca\.|between|from|up to|at least|at most)"
    r"|大?约|大概|介于|至少|不少于|不超过|从|在)*"
)
_TO = r"\s*(?:-|–|—|~|\bto\b|\band\b|至|到|和|与)+\s*"
_POWER = r"\d+(?:\s?\^\s?\d+|[⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
_VALUE = rf"(?:\d{{13,}}|{_POWER}|{NUMBER})"
_AMOUNT = rf"{_ABOUT}(?:(?P<low>{FIGURES})(?:{_UNIT})?{_TO})?(?P<high>{_VALUE})"
_END = rf"(?:{_UNIT}(?:\s*(?:each|in total))?|(?![A-Za-z\d^%]))"
_CLOSE = r"[\])}）】*_\s.。之间]*"
_LABEL = (
    r"(?<![A-Za-z])(?:(?:word[\s_-]*(?:count|limit|target|budget)s?|字\s*[数數])(?:\s*(?:of|is|为|是))?[\W_]*"
    r"|(?:words?|length|characters?|篇幅|长度)\s*[:=][\W_]*)"
)
_COUNT = re.compile(_LABEL, re.IGNORECASE)
_LABELLED = re.compile(rf"{_LABEL}{_AMOUNT}{_END}{_CLOSE}", re.IGNORECASE)
_UNREADABLE = re.compile(rf"{_LABEL}(?:n/?a|tbd|none|unknown|待定|不限)?[\W_]*$", re.IGNORECASE)
_BRACKETED = re.compile(rf"[(\[【]{_AMOUNT}{_UNIT}[^()\[\]【】]{{0,12}}[)\]】]", re.IGNORECASE)
_TRAILING = re.compile(rf"(?<!\bof )(?<!\bthe )(?<!\bin )(?<!\ba )(?<![\d^]){_AMOUNT}{_UNIT}{_CLOSE}$", re.IGNORECASE)
_LEADING = re.compile(rf"^[\W_]*{_AMOUNT}{_UNIT}[)\]\s]*(?:[:\-–—|.,]|$)", re.IGNORECASE)
_BEYOND = re.compile(rf"\d{{13,}}|{_POWER}")
_HAS_UNIT = re.compile(r"words?\b|char|字|词", re.IGNORECASE)
_RUNNING_TOTAL = re.compile(r"[(\[]\s?(?:\w+ )?(?:total|累计|合计)\b[^()\[\]]*[)\]]\s*$", re.IGNORECASE)
TOTAL = re.compile(
    r"^[\W_]*(?:(?:grand |the )?total\b|overall\b|in total\b|sum\b|总计|合计|共计|总共|总字数|全文|累计)(?!\s*(?:eclipse|war)\b)",
    re.IGNORECASE,
)

_POINT = re.compile(
    r"(?:^|(?<=[\s\W]))(?:(?:main|key|central)[\s_-]*(?:point|idea|topic|content)s?\b|要点|主要内容|主要观点|主旨|内容要点)\s*(?:\([^)]*\)\s*)?[:\]*_]+"
    r"|^[\W_]*(?:(?:main|key)\s*points?\b|要点|主要内容|(?:topic|content|focus|description|summary|内容|主题|描述)\s*[:\-–—])",
    re.IGNORECASE,
)
_EDGE = " \t-–—*_:|,;、，：；~≈=>•·#"
_PAIRS = {"[": "]", "(": ")", "（": "）", "【": "】", "{": "}", '"': '"', "“": "”", "'": "'"}


def fold(text: str) -> str:
    """`text` with full-width letters, digits and signs as ASCII. The length does not change."""
    return text.translate(_FOLD)


def take_count(text: str, *, marked: bool = False) -> tuple[int | None, str]:
    """The word count of a line (None if there is none), and the line without it.

    `marked`: accept only a count with a label or in brackets, because prose contains numbers. Only the first LONGEST_LINE characters
    are searched.
    """
    count, rest = _take_count(text[:LONGEST_LINE], marked=marked)
    return count, rest + text[LONGEST_LINE:]


def _take_count(text: str, *, marked: bool) -> tuple[int | None, str]:
    folded = fold(text)
    if total := _RUNNING_TOTAL.search(folded):
        text, folded = text[: total.start()], folded[: total.start()]
    found = list(_LABELLED.finditer(folded))
    if not found and _HAS_UNIT.search(folded):
        found = list(_BRACKETED.finditer(folded))
        if not found and not marked:
            match = _TRAILING.search(folded) or _LEADING.search(folded)
            found = [match] if match else []
    if found:
        return _words(found[-1]), f"{text[: found[-1].start()]} {text[found[-1].end() :]}"
    if nothing := _UNREADABLE.search(folded):
        return None, text[: nothing.start()]
    return None, text


def _words(match: re.Match[str]) -> int:
    """The number, or the middle of a range, rounded up."""
    high = _value(match["high"])
    return (_value(match["low"]) + high + 1) // 2 if match["low"] else high


def _value(text: str) -> int:
    return MAX_WORDS + 1 if _BEYOND.fullmatch(text) else number(text)


def is_labelled(text: str) -> bool:
    """Whether a line begins with the label of a word count or of a main point."""
    start = fold(text[:LONGEST_LINE]).lstrip(_EDGE)
    return bool((label := _POINT.search(start) or _COUNT.search(start)) and label.start() == 0)


def point_of(text: str) -> str:
    """The text of a line without its label. A title before the label is kept: `title: point`."""
    label = _POINT.search(fold(text[:LONGEST_LINE]))
    if not label:
        return tidy(text)
    title, point = tidy(text[: label.start()]), tidy(text[label.end() :])
    return f"{title}: {point}" if title and point else title or point


def tidy(text: str) -> str:
    """The text without surrounding signs and brackets, with single spaces."""
    text, before = " ".join(text.split()), None
    while text != before:
        before = text
        text = text.strip(_EDGE).rstrip("([（【{").strip()
        if len(text) > 1 and _PAIRS.get(text[0]) == text[-1] and not set(text[1:-1]) & {text[0], text[-1]}:
            text = text[1:-1]
    return text
