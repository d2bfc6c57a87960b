"""Find numbers with their units: "500-800 words", 1000±100字, 字数：1500. Other modules decide to which text a length belongs.

All functions read folded text (tasks/text/folding.py).
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tasks.text import length_cues as cues
from tasks.text.numbers import CHINESE, DIGITS, ENGLISH, NUMBER, number, value_of

NEAR = 64  # characters around a number that are searched for its meaning
WIDEST = 30  # largest ratio of the ends of a range; "1 - 500 words" is a numbered line


class Number(NamedTuple):
    """A number and its position in the text."""

    start: int
    end: int
    low: float  # less than `high` only in idioms such as 两三千
    high: float


class Quantity(NamedTuple):
    """A number or a range with its unit. Whether it is the length of the requested text is not yet known."""

    first: Number  # the lower end of a range, or the number itself
    last: Number
    end: int  # position after the unit
    unit: str  # "" for a number with a label instead of a unit
    low: float
    high: float
    tolerance: float
    known: bool  # has a unit or a label; otherwise it may share a neighbour's, as 800 in "at least 800, at most 900 words"


_SINO = "일이삼사오육칠팔구십백천만"
_KOREAN = (
    rf"(?:{DIGITS}\s?[백천만](?:\s?\d{{0,4}}[{_SINO}]|\s?\d{{1,4}}(?=\s?자)){{0,6}}"
    rf"|(?<![가-힣])[{_SINO}]{{1,10}}(?:(?<=만)\s[{_SINO}]{{1,8}})?)"
    r"(?=\s?(?:자|글자|단어|낱말|어절|[~-]|에서|부터))"
)
_MANY = r"(?:\d{1,3}|[一二两三四五六七八九十百]{1,5})[多余来]万"
_SPACED = r"\d{1,3}(?: \d{3})+(?![\d.,])"
_WAN = rf"{DIGITS}\s?w\d{{0,4}}(?=\s?\+?\s?(?:多|余)?\s?个?[字词]|[-~至到])|{DIGITS}\s?k(?![a-z])"
NUMERAL = re.compile(rf"(?<![a-z\d])(?<!\d[.,'’])(?:{_KOREAN}|半[百千万]|{_MANY}|{_WAN}|{_SPACED}|{CHINESE}|{NUMBER})|{ENGLISH}")
_IDIOM = re.compile(r"([一二两三四五六七八])([两二三四五六七八九])([百千万十].{0,2})")  # 两三千, 三五百
_VAGUE = re.compile(
    r"(?:\b(?:few|several|couple(?:\s+of)?|many|more|various|countless|numerous|some|odd|of|another|x)\s+(?:a\s+)?|[几数若好]"
    r"|[^上写满](?<=[百千])|成)$"
)
_BARE_BEFORE = re.compile(r"(?:[篇写个份部近约上过超达足的章字数为:,;.!?约を、。於于在]|\s|^|[(（「])$")
_SHARED_POWER = re.compile(r"(?:[kw百千万백천만]|[\s-](?:hundred|thousand|million))$")
_LIST_NUMBER = re.compile(r"\d{1,2}\.(?=\d{3}$)")
_HAS_HAN = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]|\bchinese\b|\bjapanese\b|\bkorean\b|\bmandarin\b")
_REPEATED = re.compile(r"\s?\(([^()\n]{1,40})\)")
_KANA = re.compile(r"[\u3040-\u30ff]")


def numbers(text: str) -> Iterator[Number]:
    """Numbers near the name of a unit or a label. Other numbers are skipped, because texts have many numbers and few units."""
    for start, end in stretches(text, cues.NAMES):
        for match in NUMERAL.finditer(text, start, end):
            if match.end() == end:
                match = NUMERAL.match(text, match.start()) or match
            yield from _read(match[0], match.start(), text)


def stretches(text: str, names: re.Pattern[str]) -> list[tuple[int, int]]:
    """Start and end of the text around each name. Overlapping stretches are joined."""
    stretches: list[list[int]] = []
    for name in names.finditer(text):
        start, end = max(0, name.start() - 120), min(len(text), name.end() + 80)
        if stretches and start <= stretches[-1][1]:
            stretches[-1][1] = end
        else:
            stretches.append([start, end])
    return [(start, end) for start, end in stretches]


def _read(found: str, start: int, text: str) -> Iterator[Number]:
    """The number in `found`; two numbers if `and` joins the ends of a range; none if the number is vague or cannot be read."""
    before = text[max(0, start - 24) : start]
    end = start + len(found)
    if " and " in found and (re.search(r"\bbetween\s+$", before) or value_of(found) is None):
        left, _, right = found.rpartition(" and ") if value_of(found.partition(" and ")[2]) is None else found.partition(" and ")
        if value_of(left) is not None and value_of(right) is not None:
            yield from _read(left, start, text)
            yield from _read(right, end - len(right), text)
            return
    if " " in found and found[0].isdigit() and found.replace(" ", "").isdigit() and cues.NUMBERED.search(before):  # "chapter 3 500 words"
        found = found.rpartition(" ")[2]
        start = end - len(found)
    if cues.CJK_UNIT.match(text, end) and (listed := _LIST_NUMBER.match(found)):  # "1.800字左右" is item 1 of a list
        if before and not re.search(r"[\s:;,。]$", before):
            return
        found, start = found[listed.end() :], start + listed.end()
    if _VAGUE.search(before) and not found[0].isdigit() and found.split()[0] in {*"十百千万", "hundred", "thousand", "million", "dozen"}:
        return
    if _VAGUE.search(before) and found[0] in "十百千万":
        return
    if found.split()[0] in ("hundred", "thousand", "million") and re.search(r"\d[\s-]$", before):
        return  # the power of a number that could not be read
    if found == "千万":
        return  # a figure of speech
    if found in {"百", "千", "万"} and not (_BARE_BEFORE.search(before) and not _is_title(before, text, end)):
        return
    if idiom := _IDIOM.fullmatch(found):
        low, high = number(idiom[1] + idiom[3]), number(idiom[2] + idiom[3])
        if 0 < low < high:
            yield Number(start, end, low, high)
        return
    found = re.sub("[多余来]", "", found)
    value = 0.5 * number(found[1:]) if found[0] == "半" else value_of(found)
    if value is not None:
        yield Number(start, end, value, value)


def _is_title(before: str, text: str, end: int) -> bool:
    """Whether 千字文 is the name of the classic, not a text of a thousand characters, as in 写一篇千字文."""
    return text.startswith("字文》", end) or (text.startswith("字文", end) and before[-1:] not in ("篇", "写", "份", "个"))


def quantities(numbers: Sequence[Number], text: str) -> list[Quantity]:
    """Join numbers with their units, lower ends of ranges and tolerances."""
    found: list[Quantity] = []
    for one in numbers:
        unit = unit_of(one, text)
        end = unit.end() if unit else one.end
        quantity = Quantity(one, one, end, unit[0] if unit else "", one.low, one.high, 0, bool(unit) or _labelled(one, text))
        before = found[-1] if found else None
        between = text[before.end : one.start] if before else ""
        if before and cues.PLUS_MINUS.fullmatch(between):
            share = re.match(r"\s?%", text[one.end : one.end + 2])
            tolerance = before.high * one.high / 100 if share else one.high
            if tolerance < before.high:
                at = one.end + len(share[0]) if share else end
                found[-1] = before._replace(tolerance=tolerance, end=at, known=before.known or quantity.known)
                continue
        if cues.WITHIN.search(text[max(0, one.start - NEAR) : one.start]) and cues.OF_NUMBER.match(text[end : end + NEAR]):
            continue  # the tolerance of the next number
        if (within := cues.WITHIN_OF.search(text[max(0, one.start - NEAR) : one.start])) and int(within["n"]):
            tolerance = one.high * int(within["n"]) / 100 if within["share"] else int(within["n"])
            known = quantity.known or within[0].find("word") >= 0
            found.append(quantity._replace(tolerance=tolerance if tolerance < one.high else 0, known=known))
            continue
        if before and (joined := _joined(before, quantity, between, text)):
            found[-1] = joined
            continue
        found.append(quantity)
    return found


def _joined(before: Quantity, quantity: Quantity, between: str, text: str) -> Quantity | None:
    """The range of two neighbouring numbers, or None."""
    one, low = quantity.first, before.high
    shared = _SHARED_POWER.search(text[one.start : one.end])
    if shared and low < 100 and not _SHARED_POWER.search(text[before.first.start : before.first.end]):
        raised = value_of(f"{low:g}{shared[0]}")
        low = raised if raised is not None and raised < one.high else low
    elif cues.SHARED.fullmatch(between):
        return None
    if not (cues.RANGE.fullmatch(between) or cues.SHARED.fullmatch(between)) or before.tolerance or not (quantity.known or before.known):
        return None
    ahead = text[max(0, before.first.start - NEAR) : before.first.start]
    if cues.NUMBERED.search(ahead) or one.high > WIDEST * max(low, 1):
        return None
    if cues.MADE_FROM.search(ahead) or (low >= one.high and re.search(r"\bfrom\s|从|由", ahead[-8:])):
        return quantity  # "cut this from 3,000 to 1,000 words"
    if not low < one.high or before.first is not before.last:
        return None
    return quantity._replace(first=before.first, low=low, known=True)


def unit_of(one: Number, text: str) -> re.Match[str] | None:
    """The match of the unit after a number, or None."""
    end = one.end
    repeated = _REPEATED.match(text, end)  # "500 (five hundred) words"
    if repeated and value_of(repeated[1]) == one.high:
        end = repeated.end()
    match = cues.UNIT.match(text, end)
    if not match or (match["letters"] and not match["chinese"] and not _HAS_HAN.search(text)) or (match["go"] and not _KANA.search(text)):
        return None
    return match


def _labelled(one: Number, text: str) -> bool:
    before = text[max(0, one.start - NEAR) : one.start]
    if not any(map(before.__contains__, cues.LABEL_STEMS)):
        return False
    return bool(cues.LABEL.search(before)) and not cues.NO_LABEL_VALUE.match(text[one.end : one.end + 16])
