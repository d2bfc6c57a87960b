"""The length that an ask wishes for: "a 10,000-word novel", "at least 1.5k words", 一万五千字以上, 800-1000字.

The largest length that is named for the whole counts: others are mostly for its parts. The target of a range is its upper end, and of a
bound the bound, as LongBench-Write has it. A length for each of several parts is multiplied where the ask says how many. Pages count
only where no other length is named: one has 200 words, as LongBench-Write's 50-page novel of 10,000 has it, or 500 characters.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from tasks.schema.records import WishKind as Kind


class Wish(NamedTuple):
    target: int | None  # words, or characters of Chinese
    kind: Kind
    low: int | None = None  # the bounds that the ask sets; None: none on that side
    high: int | None = None


class _Mention(NamedTuple):
    value: int
    kind: Kind
    parts: int | None  # None: for the whole; else how many parts get this length each, 0 where the ask does not say
    low: int | None = None  # the lower end of a range


NONE = Wish(None, "none")
LONGEST = 10**9  # a larger number is no wish
PART = 50  # words; in an ask of more than LONG_ASK characters a smaller number is about its title or its slogan
LONG_ASK = 150
READ = 20_000  # characters at either end of an ask; what lies between is material that it brings along
MENTIONS = 500  # of one form, that are looked at
NEAR, FAR = 60, 400  # characters around a number that say what it is, and in which the number of parts is looked for

_DIGITS = r"\d{1,3}(?:[,.]\d{3})+|\d{1,12}(?:\.\d+)?"
_UNITS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = {word: n for n, word in enumerate(_UNITS.split(), 1)} | {word: 10 * n for n, word in enumerate(_TENS.split(), 2)}
_NAMED = "|".join(sorted(_VALUES, key=len, reverse=True))
_ENGLISH = (
    rf"(?:(?:a|{_NAMED})[\s-]+)?(?:{_NAMED}|hundred|thousand)(?:(?:(?<=undred|ousand)[\s-]+and)?[\s-]+(?:{_NAMED}|hundred|thousand)){{0,8}}"
)
_NUMERAL = "零〇一二两三四五六七八九十百千万"
_CHINESE = rf"(?<![{_NUMERAL}])(?:(?:{_DIGITS})\s*[百千万]|[一二两三四五六七八九十])(?:\d{{0,3}}[{_NUMERAL}]){{0,12}}"
# What `number` reads: in figures (also Chinese), and that or spelled out.
FIGURES = rf"(?<!\d)(?<!\d[.,])(?:{_CHINESE}|(?:{_DIGITS})\s*[kK]?)"
NUMBER = rf"(?:{FIGURES}|\b(?:{_ENGLISH})\b)"
LOW = rf"(?:{FIGURES}|\b(?:{_NAMED})(?:[\s-](?:hundred|thousand))?\b)"
_WORDS = r"(?:(?:-?ish)?[\s-]*(?:to[\s-]+)?(?:english |chinese |total )?(?:words?|wrds)\b|\s*(?:chinese )?characters\b)"
_ZI = r"\s*(?:多|余|来)?(?:个)?(?:汉字|字符|单词|字|词)(?!母|体|段|节|典|成语|经|形|幕|汇|根|组)"
_UNIT = rf"(?:{_WORDS}|\s*\+[\s-]*(?:words?\b)|\s*\+\s*个?字|{_ZI})"
_BETWEEN = (
    r"(?:\s*(?:-|–|—|~|～|至|到|和|\bto\b|\band\b|\bor\b)){1,4}\s*"
    r"|,?\s*(?:but|and)\s+(?:(?:no|not) (?:more|longer)|less|fewer) than\s+|[,，、]?(?:且|但|而|并且)?不(?:超过|多于|大于)"
)
_TO = rf"(?:{_BETWEEN})"
_LENGTH = re.compile(rf"(?:(?P<low>{LOW})(?:{_UNIT})?{_TO})?(?P<value>{NUMBER})(?P<unit>{_UNIT})", re.IGNORECASE)
_LABELLED = re.compile(
    rf"(?:word (?:count|limit|length|range)|number of words|(?<![a-z] )\bwords(?=\s*[:：])|length|字数|篇幅)"
    r"(?:\s*(?:要求|限制|控制|大概|大约|约|不少于|不低于|至少|不超过|为|是|在|is|of|should be|approximately|about)|\s*[:：])*"
    rf"\s*(?:(?P<low>{FIGURES}){_TO})?(?P<value>{NUMBER})(?!\s*(?:页|分|段|章|pages?|minutes?|[.\d]))",
    re.IGNORECASE,
)
_AT_LEAST = re.compile(
    r"(?:at lea?se?t|(?:no|not) (?:less|fewer|shorter) than"
    r"|\bmin(?:imum)?\b\.?(?: (?:word )?(?:count|length))?(?: of| is)?|upwards of"
    r"|(?<!no )(?<!not )(?:more|longer) than|over|(?<!not )exceed\w*"
    r"|不少于|不低于|不小于|至少|最少|(?<!不)(?:超过|多于|大于))\W{0,3}(?:\w+ )?$",
    re.IGNORECASE,
)
_AT_MOST = re.compile(
    r"(?:at most|(?:\b(?:no|not|never)|n['’]t) (?:\w+ ){0,2}?(?:(?:more|longer|greater) than|exceed(?:ing)?|over|above|beyond)"
    r"|(?<!no )(?<!not )(?:less|fewer|shorter) than|under|below|up to|within"
    r"|\bmax(?:imum)?\b\.?(?: (?:word )?(?:count|length))?(?: of| is)?"
    r"|limit(?: of| is)?|limit(?:ed)?(?: \w+){0,4} to|capp?(?:ed)? (?:it )?at"
    r"|(?:不得?|不要|不可|不能|不应|不会|不宜|别|勿|切勿)(?:超过|多于|大于|超出)|最多|至多|上限|限制?在?|(?<!不)(?:少于|低于)|不足|不到|控制在)"
    r"\W{0,3}(?:(?:the|an?) |为)?$",
    re.IGNORECASE,
)
_UNIT_BEHIND = re.compile(rf"^{_UNIT}", re.IGNORECASE)
_OR_MORE = re.compile(r"^\s*(?:or more|(?:or|and) (?:above|over|up)|minimum|at least|\+|(?:及|或)?以上|起)", re.IGNORECASE)
_OR_LESS = re.compile(r"^\s*(?:or (?:less|fewer|under)|limit\b|max(?:imum)?|at most|(?:及|或)?以(?:内|下)|之内)", re.IGNORECASE)
_ABOUT = re.compile(r"^\s*(?:左右|上下)")
_EACH = re.compile(
    r"(?:各写|各|每[一个]?[篇章节段部份封条天则人幕回集课]?分?)[^，。；！？\n]{0,8}$"
    r"|\beach\s+$|\b(?:each|every|per)\s+(?:of|one|should|must|being|about|around|with|at|in|approximately|chapter|section|paragraph|part|story|letter|essay"
    r"|article|entry|episode|scene|character|item|question|topic|poem)\b[^.,;!?\n]{0,30}$",
    re.IGNORECASE,
)
_EACH_BEHIND = re.compile(r"^\s*(?:each\b|apiece|per (?!day|minute|hour)\w+|for each\b)", re.IGNORECASE)
_PARTS = re.compile(
    rf"(?P<n>\d{{1,3}}|[一二两三四五六七八九十]{{1,3}}|\b(?:{_NAMED})\b)\s{{0,3}}"
    r"(?:个?(?:部分|章节?|节|篇|段|封|幕|则|集|回)|(?:\w{1,20} )?(?:parts|chapters|sections|paragraphs|letters|essays|stories"
    r"|diaries|articles|entries|episodes|scenes|poems|posts|reviews|reports|emails|speeches|scripts|pieces)\b)"
)
_TOTAL = re.compile(r"[^。！？!?\n]{0,20}?(?:共|总共|\ba total of\b|\bin total\b)")
_PAGES = re.compile(
    rf"(?P<value>{NUMBER})(?:\s*(?:-|–|to|or)\s*(?P<high>{NUMBER}))?[\s-]*(?:full |(?:single|double)-spaced )?pages?\b"
    rf"|(?P<zh>\d{{1,3}}|[一二两三四五六七八九十]{{1,3}})\s*(?:页(?!码|面|岩|眉|脚)|张A4)",
    re.IGNORECASE,
)
_MATERIAL = re.compile(
    r"\bhow (?:many|long)\b.{0,40}$"
    r"|(?:\b(?:the|this|that|my|attached|following|read|summari[sz]e|has|have|had|page)\b|第|这|读|看|总结)\W{0,2}(?:\w+\W){0,2}$",
    re.IGNORECASE,
)
PAGE = {"page": 200, "页": 500}
MOST_PAGES = 2_000
_UNIT_NAME = re.compile(r"[Ww][Oo]?[Rr][Dd][Ss]?|[Cc]haracters|[字词]")  # in every match of `_LENGTH`, near its end
LONGEST_MATCH = 160  # characters
_ANY_UNIT = ("word", "wrd", "character", "length", "page", *"字词页篇张")  # no wish goes without one
_NO_WISH = re.compile(
    r"(?:vocabulary of|\b(?:first|last|next|opening|common(?:est)?|frequent|which|what|know|read|learn|type)"
    r"|词汇量|认识|学会|常用|[前后])\W*$",
    re.IGNORECASE,
)
_RATE = re.compile(r"^\s*(?:per|an?|each|every|/)\s*(?:minute|min|hour|day|second|week|month)\b", re.IGNORECASE)
# Two idioms: 三五千字 is a range, and 万字 alone is ten thousand.
_FROM_TO = re.compile(rf"(?<![{_NUMERAL}\d])([一二三四五六七八])([两二三四五六七八九])(?=[百千万]字)")
_BARE_WAN = re.compile(rf"(?:(?<=[近约写篇])|(?<=\A))万(?=字)|(?<![{_NUMERAL}\d几数.])万(?=字(?:长文|文章|小说|报告|论文|左右|以上))")
# Of a text that is brought along: "this 5000-word article", where something is to be made of it, or "I have a 12,000-word thesis".
_WORKED_ON = re.compile(
    r"summar|condens|shorten|rewrit|expand|translat|analy|review|edit|proofread|paraphras|缩写|概括|总结|扩写|改写|压缩|提炼|翻译|润色|缩短|扩展",
    re.IGNORECASE,
)
_BROUGHT = re.compile(
    r"(?:\b(?:this|that|these|those|the|my|our|following|attached|original|existing)\W{1,2}(?:\w+ )?"
    r"|[这那]篇|下面|以下|上面|[把将][^，。]{0,3})$",
    re.IGNORECASE,
)
_OWNED = re.compile(r"\b(?:have|wrote|got|written) (?:an?|this) $", re.IGNORECASE)


def parse_wish(text: str) -> Wish:
    """What length `text` asks for. Never raises: an ask without a length is a `none`."""
    if len(text) > 2 * READ:
        text = f"{text[:READ]}\n{text[-READ:]}"
    text = _BARE_WAN.sub("一万", _FROM_TO.sub(r"\1至\2", unicodedata.normalize("NFKC", text)))
    if not any(map(text.lower().__contains__, _ANY_UNIT)):
        return NONE
    mentions = list(_mentions(text))
    if whole := [mention for mention in mentions if mention.parts is None]:
        best = max(whole)
        return _wish(best.value, _kind_of_all(whole, best), _low_of_all(whole, best))
    if counted := [mention for mention in mentions if mention.parts]:
        best = max(counted, key=lambda mention: mention.value * (mention.parts or 1))
        number_of = best.parts or 1
        return _wish(best.value * number_of, best.kind, best.low * number_of if best.low else None)
    return _in_pages(text) or NONE


def range_of(text: str) -> tuple[int, int] | None:
    """Both ends of the range that `text` asks for, of which `parse_wish` has the upper; None where it asks for no range."""
    wish = parse_wish(text)
    return (wish.low, wish.high) if wish.kind == "range" and wish.low and wish.high else None


def _wish(target: int, kind: Kind, low: int | None) -> Wish:
    """With the bounds that go with the kind. A range whose lower end cannot be made out has the upper one alone."""
    low = {"exact": target, "at_least": target, "range": low}.get(kind)
    return Wish(target, kind, low, None if kind == "at_least" else target)


def _low_of_all(whole: list[_Mention], best: _Mention) -> int | None:
    low = best.low or max((mention.value for mention in whole if mention.kind == "at_least"), default=0)
    return low if 0 < low <= best.value else None


def _in_pages(text: str) -> Wish | None:
    """The first number of pages that the ask wants written, not one that it brings along to be read."""
    for match in _PAGES.finditer(text):
        before, behind = text[max(0, match.start() - NEAR) : match.start()], text[match.end() : match.end() + NEAR]
        if _MATERIAL.search(before):
            continue
        page = PAGE["页" if match["zh"] else "page"]
        pages, most = number(match["zh"] or match["value"]), number(match["high"]) if match["high"] else 0
        if not 0 < max(pages, most) <= MOST_PAGES or match["zh"] == "一":  # 一页 is mostly a figure of speech
            continue
        if most > pages:
            return _wish(most * page, "range", pages * page)
        at_least, at_most = _AT_LEAST.search(before) or _OR_MORE.match(behind), _AT_MOST.search(before) or _OR_LESS.match(behind)
        return _wish(pages * page, "at_least" if at_least else "at_most" if at_most else "exact", None)
    return None


def _kind_of_all(whole: list[_Mention], best: _Mention) -> Kind:
    """A lower bound in one place and an upper bound in another are a range."""
    return "range" if best.kind == "at_most" and any(mention.kind == "at_least" for mention in whole) else best.kind


def _mentions(text: str) -> Iterator[_Mention]:
    for match in (*islice(_lengths(text), MENTIONS), *islice(_LABELLED.finditer(text), MENTIONS)):
        before, behind = text[max(0, match.start() - NEAR) : match.start()], text[match.end() : match.end() + NEAR]
        value = number(match["value"])
        least = PART if len(text) > LONG_ASK else 5
        if not least <= value <= LONGEST or _NO_WISH.search(before) or _RATE.match(behind) or _brought(text, match, before):
            continue
        parts = _parts(text[max(0, match.start() - FAR) : match.start()], before, behind)
        yield _Mention(value, _kind(match, before, behind), parts, _low(match) if match["low"] else None)


def _lengths(text: str) -> Iterator[re.Match[str]]:
    """Matches of `_LENGTH`, looked for around units alone: texts have many numbers, and few units."""
    stretches: list[list[int]] = []
    for unit in _UNIT_NAME.finditer(text):
        start, end = max(0, unit.start() - LONGEST_MATCH), unit.end() + 4
        if stretches and start <= stretches[-1][1]:
            stretches[-1][1] = end
        else:
            stretches.append([start, end])
    for start, end in stretches:
        yield from _LENGTH.finditer(text, start, end)


def _kind(match: re.Match[str], before: str, behind: str) -> Kind:
    if match["low"]:
        return "range"
    before += match[0][: match.start("value") - match.start()]  # "不少于" in "字数不少于600"
    behind = _UNIT_BEHIND.sub("", behind)  # "字以上" in "字数2000字以上", where the label's match ends with the number
    if _ABOUT.match(behind) and before.rstrip().endswith("控制在"):
        return "exact"
    if _OR_MORE.match(behind) or "+" in (match.groupdict().get("unit") or ""):
        return "at_least"
    if _AT_MOST.search(before) or _OR_LESS.match(behind):  # "not exceeding" before "exceeding"
        return "at_most"
    return "at_least" if _AT_LEAST.search(before) else "exact"


def _brought(text: str, match: re.Match[str], before: str) -> bool:
    """Whether it is the length of a text that the ask brings along."""
    if _OWNED.search(before):
        return True
    return _BROUGHT.search(before) is not None and _WORKED_ON.search(text[:FAR]) is not None


def _low(match: re.Match[str]) -> int:
    """The lower end, with the unit that it shares with the upper one: 2000 in `2-3k`, 10000 in `1-2万`."""
    low = match["low"].strip()
    shared = re.search(r"[kK百千万]$|[ -](?:hundred|thousand)$", match["value"].strip(), re.IGNORECASE)
    bare = re.fullmatch(rf"[\d.]+|[一二两三四五六七八九]|{_NAMED}", low, re.IGNORECASE)
    return number(low + shared[0] if shared and bare and number(low) < 100 else low)


def _parts(ahead: str, before: str, behind: str) -> int | None:
    if not (_EACH.search(before) or _EACH_BEHIND.match(behind)):
        return None
    if _TOTAL.match(behind):  # "每章3000字，共十章"
        ahead += behind
    counts = [number(match["n"]) for match in _PARTS.finditer(ahead)]
    return max(counts, default=0)


def number(text: str) -> int:
    """The value of a number: `1,500`, `1.5k`, `1万5千`, `一万五千`, `two thousand`. 0 for what is none."""
    text = re.sub(r"[,.](?=\d{3}(?!\d))", "", text.strip().lower())
    if re.search(r"[a-z]{2}", text):
        return _spelled(re.split(r"[\s-]+", text))
    if text.endswith("k"):
        return round(float(text[:-1]) * 1000)
    return round(float(text)) if re.fullmatch(r"[\d.]+", text) else _chinese(re.sub(r"\s", "", text))


def _spelled(words: list[str]) -> int:
    total = current = 0
    for word in words:
        if word == "hundred":
            current = max(current, 1) * 100
        elif word == "thousand":
            total, current = total + max(current, 1) * 1000, 0
        else:
            current += _VALUES.get(word, 0)
    return total + current


def _chinese(text: str) -> int:
    if "万" in text:
        high, _, low = text.partition("万")
        below = _chinese(low) if low else 0
        return round(_section(high) * 10_000) + (below * 1000 if 0 < below < 10 and "零" not in low else below)
    return round(_section(text))


def _section(text: str) -> float:
    """A number under 10,000, the first digit perhaps with a decimal point: `一千五百`, `1.5`, `5千`, `十二`."""
    total, digit, unit = 0.0, 0.0, 1
    for part in re.findall(r"\d+(?:\.\d+)?|[零〇一二两三四五六七八九十百千]", text):
        if part in "十百千":
            unit = {"十": 10, "百": 100, "千": 1000}[part]
            total, digit = total + (digit or 1) * unit, 0
        elif part in "零〇":
            unit = 1
        else:
            digit = float(part) if part[0].isdigit() else "一二三四五六七八九".find(part.replace("两", "二")) + 1
            if part[0].isascii():
                unit = 1
    return total + (digit * unit / 10 if total and unit > 10 else digit)
