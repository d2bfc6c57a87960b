"""The length that a prompt asks for: "a 10,000-word novel", "at least 1.5k words", 一万五千字以上, 800〜1000字, 1500자 이내.

What is read: numbers of words, or of characters in Chinese, Japanese and Korean, in digits or spelled out, with their bounds. The largest
length for the whole text counts: smaller ones are mostly for its parts. The target of a range is its upper end and of a bound the bound,
as in LongBench-Write. A length for each of several pieces is multiplied by their number; without that number it is none. Pages count
where no other length is named: 200 words each, as LongBench-Write's 50-page novel of 10,000 has it, or 500 characters of Chinese.

What is none: vague numbers (a few hundred words), letters, tokens, lines, minutes, the length of a text that the prompt brings along,
of a title or a sentence, vocabulary, rates, bounds that contradict each other. A wrong number is worse than none.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from tasks.schema.records import LengthKind
from tasks.text import length_cues as cues
from tasks.text.folding import fold, normal
from tasks.text.numbers import CHINESE, DIGITS, ENGLISH, NUMBER, number, value_of

LONGEST = 10**9  # words; a larger number is no length
SHORTEST = 5  # words; "in two words" is a figure of speech
PART = 50  # words; in a prompt of more than LONG_PROMPT characters a smaller number is about its title or its slogan
LONG_PROMPT = 150
READ = 20_000  # characters at either end of a prompt; what lies between is material that it brings along
NUMBERS = 5_000  # that are looked at
MENTIONS = 500  # numbers with a unit
NEAR, FAR = 64, 400  # characters around a number that say what it is, and in which the number of pieces is looked for
PAGE = {"page": 200, "页": 500}  # words and characters
MOST_PAGES, MOST_PIECES = 2_000, 1_000
SHEET = {"ja": 400, "ko": 200}  # characters on a sheet of manuscript paper
WIDEST = 30  # times; "1 - 500 words" is a numbered line, not a range
SLACK = 2  # "at least" is satisfied by up to twice as much, "at most" by down to half


class LengthRequest(NamedTuple):
    """What a text asks for, in words (characters of Chinese, Japanese and Korean)."""

    target: int | None  # None: no length
    kind: LengthKind
    low: int | None = None  # the bounds that the text sets, both included; None: none on that side
    high: int | None = None
    phrase: str = ""  # what was read

    @property
    def band(self) -> tuple[int, int] | None:
        """The lengths that satisfy the request, both ends included; None without one."""
        if self.target is None:
            return None
        low = self.low if self.low is not None else -(-self.target // SLACK)
        return low, self.high if self.high is not None else SLACK * self.target


NONE = LengthRequest(None, "none")


class _Number(NamedTuple):
    start: int
    end: int
    low: float  # below `high` only in 两三千 and the like
    high: float


class _Pieces(NamedTuple):
    """How many pieces have a length each, as a range, and where the text says so; 0 where it does not."""

    fewest: int = 0
    most: int = 0
    start: int = 0
    end: int = 0


class _Mention(NamedTuple):
    start: int  # of the phrase
    end: int
    low: int
    high: int
    kind: LengthKind
    pieces: _Pieces | None  # None: of the whole text
    tolerance: int = 0
    total: bool = False  # "in total", 全文


class _Quantity(NamedTuple):
    """A number or a range with its unit, before it is known what it is the length of."""

    first: _Number  # the lower end of a range, or the number itself
    last: _Number
    end: int  # behind the unit
    unit: str  # "" behind a label
    low: float
    high: float
    tolerance: float
    known: bool  # it has a unit or a label; else it shares its neighbour's, as 800 in "at least 800, at most 900 words"


_SINO = "일이삼사오육칠팔구십백천만"
_KOREAN = (
    rf"(?:{DIGITS}\s?[백천만](?:\s?\d{{0,4}}[{_SINO}]|\s?\d{{1,4}}(?=\s?자)){{0,6}}"
    rf"|(?<![가-힣])[{_SINO}]{{1,10}}(?:(?<=만)\s[{_SINO}]{{1,8}})?)"
    r"(?=\s?(?:자|글자|단어|낱말|어절|[~-]|에서|부터))"
)
_MANY = r"(?:\d{1,3}|[一二两三四五六七八九十百]{1,5})[多余来]万"
_SPACED = r"\d{1,3}(?: \d{3})+(?![\d.,])"
_WAN = rf"{DIGITS}\s?w\d{{0,4}}(?=\s?\+?\s?(?:多|余)?\s?个?[字词]|[-~至到])|{DIGITS}\s?k(?![a-z])"
_NUMBER = re.compile(rf"(?<![a-z\d])(?<!\d[.,'’])(?:{_KOREAN}|半[百千万]|{_MANY}|{_WAN}|{_SPACED}|{CHINESE}|{NUMBER})|{ENGLISH}")
_IDIOM = re.compile(r"([一二两三四五六七八])([两二三四五六七八九])([百千万十].{0,2})")  # 两三千, 三五百
_VAGUE = re.compile(
    r"(?:\b(?:few|several|couple(?:\s+of)?|many|more|various|countless|numerous|some|odd|of|another|x)\s+(?:a\s+)?|[几数若好]"
    r"|[^上写满](?<=[百千])|成)$"
)
_BARE_BEFORE = re.compile(r"(?:[篇写个份部近约上过超达足的章字数为:,;.!?约を、。於于在]|\s|^|[(（「])$")
_SHARED_POWER = re.compile(r"(?:[kw百千万백천만]|[\s-](?:hundred|thousand|million))$")
_LIST_NUMBER = re.compile(r"\d{1,2}\.(?=\d{3}$)")
_HAS_HAN = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]|\bchinese\b|\bjapanese\b|\bkorean\b|\bmandarin\b")
_KANA = re.compile(r"[\u3040-\u30ff]")
_WORD = re.compile(r"[a-z]{3,}")
_NO_KEY = re.compile(
    r"the|ones?|should|must|shall|will|can|may|ha(?:s|ve)|are|being|about|around|with|approximately|roughly|exactly|least|most|than"
    r"|more|less|fewer"
    r"|over|under|above|below|not|exceed\w*|words?|long\w*|shorter|larger|length|between|from|for|these|those|them|and|two|three"
    r"|four|five|six|seven|eight|nine|ten"
    r"|hundred|thousand"
    r"|run\w*|tak\w+|need\w*|last\w*|fill\w*|compris\w*|up|some|full|worth|its?|includ\w*|span\w*|total\w*|averag\w+|reach\w*"
    r"|limit\w*|ke?pt|keep"
    r"|contain\w*|consist\w*|using|precisely|min\w*|max\w*|within|write|please|use"
)
_NO_SIGN = re.compile(
    r"[\s\d个個一的大约約은는이가를을의は]|不|超过|少于|多于|低于|至少|最少|最多|至多|写|要|应|该|需|在|为|是|有|字数|控制|限制?"
    r"|左右|都|均|得|能|可|须|必|长度|篇幅|最低|最大|各"
)
# First characters of nouns by their classifier: 5篇 counts 帖文 and 故事.
_CLASSIFIED = {"篇": "文帖稿故作日散小影书心报", "条": "评文推消微短朋说", "封": "信邮情", "个": "故段章部", "部": "小剧作"}
_OPENS_RANGE = re.compile(rf"\s?(?:-|–|~|to|至|到)\s?(?:{NUMBER})")
_NATIVE_VALUES = {word: n for n, word in enumerate(("두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉", "열"), 2)}
_NATIVE = re.compile(rf"(?<![가-힣])({'|'.join(_NATIVE_VALUES)})\s?(?=개|편|장|문단|단락|가지|통|번|명|권)")
_NOUN = re.compile(r"(?:[\s-]{0,2}(?!(?:of|with|at|for|and|on|about|one|in|each|per|should|must)\b)[a-z'-]+){1,3}|[^\s\d,.。、;]{1,3}")
_PLURAL = re.compile(r"^[\s-]{0,2}(?:[\w'’-]+\s){0,3}?[a-z-]{3,}s\b")
_OF_PIECES = re.compile(rf"(?P<n>{NUMBER})[\s-]+(?:[\w-]+\s+){{0,2}}(?P<noun>[a-z-]+s)\s+(?:of|at)\s+(?:[a-z]+\s+){{0,4}}$")


def parse_length_request(text: str) -> LengthRequest:
    """The length that `text` asks for, with the phrase that was read. Never raises; a text without a length has the kind `none`.

    Example: `parse_length_request("Write at least two thousand words.")` has target 2000, kind "at_least", low 2000, high None.
    """
    shown = normal(_ends(text))
    folded = fold(shown)
    if not any(map(folded.__contains__, cues.STEMS)):
        return NONE
    mentions = [mention for mention in _mentions(folded) if mention.high <= LONGEST]
    found = _of_whole(mentions) or _of_pieces(mentions, folded) or _in_sheets(folded) or _in_pages(folded)
    if not found:
        return NONE
    request, spans = found
    return request._replace(phrase=" … ".join(" ".join(shown[start:end].split()) for start, end in spans))


def _ends(text: str) -> str:
    """A long text without its middle, and without the words at the cut, of which a half may be a wrong number."""
    if len(text) <= 2 * READ:
        return text
    return f"{re.sub(r'[^ ]{0,40}$', '', text[:READ])}\n{re.sub(r'^[^ ]{0,40}', '', text[-READ:])}"


# ---- numbers, their units and their neighbours


def _mentions(text: str) -> Iterator[_Mention]:
    quantities = list(_quantities(list(islice(_numbers(text), NUMBERS)), text))
    first = 0  # what comes before a correction does not count: "1,500 words. No, make it 2,000 words"
    for place, quantity in enumerate(quantities[:-1], 1):
        between = text[quantity.end : quantities[place].first.start]
        if len(between) <= NEAR and quantities[place].known and cues.CORRECTED.search(between):
            first = place
    known = (quantity for quantity in quantities[first:] if quantity.known)
    for quantity in islice(known, MENTIONS):
        if mention := _mention(quantity, text):
            yield mention


def _numbers(text: str) -> Iterator[_Number]:
    """Numbers near a name of a unit or a label: texts have many numbers, and few units."""
    for start, end in _stretches(text, cues.NAMES):
        for match in _NUMBER.finditer(text, start, end):
            if match.end() == end:
                match = _NUMBER.match(text, match.start()) or match
            yield from _read(match[0], match.start(), text)


def _stretches(text: str, names: re.Pattern[str]) -> list[tuple[int, int]]:
    """The places around names, joined where they overlap."""
    stretches: list[list[int]] = []
    for name in names.finditer(text):
        start, end = max(0, name.start() - 120), min(len(text), name.end() + 80)
        if stretches and start <= stretches[-1][1]:
            stretches[-1][1] = end
        else:
            stretches.append([start, end])
    return [(start, end) for start, end in stretches]


def _read(found: str, start: int, text: str) -> Iterator[_Number]:
    """The number that was found; two, where `and` joins the ends of a range; none, where it is vague or not understood."""
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
    if found == "千万":
        return  # a figure of speech
    if found in {"百", "千", "万"} and not (_BARE_BEFORE.search(before) and not text.startswith("字文》", end)):
        return
    if idiom := _IDIOM.fullmatch(found):
        low, high = number(idiom[1] + idiom[3]), number(idiom[2] + idiom[3])
        if 0 < low < high:
            yield _Number(start, end, low, high)
        return
    found = re.sub("[多余来]", "", found)
    value = 0.5 * number(found[1:]) if found[0] == "半" else value_of(found)
    if value is not None:
        yield _Number(start, end, value, value)


def _quantities(numbers: Sequence[_Number], text: str) -> Iterator[_Quantity]:
    """Numbers joined with their units, lower ends and tolerances."""
    found: list[_Quantity] = []
    for one in numbers:
        unit = _unit(one, text)
        end = unit.end() if unit else one.end
        quantity = _Quantity(one, one, end, unit[0] if unit else "", one.low, one.high, 0, bool(unit) or _labelled(one, text))
        before = found[-1] if found else None
        between = text[before.end : one.start] if before else ""
        if before and cues.PLUS_MINUS.fullmatch(between):
            share = re.match(r"\s?%", text[one.end : one.end + 2])
            tolerance = before.high * one.high / 100 if share else one.high
            if tolerance < before.high:
                at = one.end + len(share[0]) if share else end
                found[-1] = before._replace(tolerance=tolerance, end=at, known=before.known or quantity.known)
                continue
        if before and (joined := _joined(before, quantity, between, text)):
            found[-1] = joined
            continue
        found.append(quantity)
    yield from _with_shared_units(found, text)


def _joined(before: _Quantity, quantity: _Quantity, between: str, text: str) -> _Quantity | None:
    """The range that two neighbours make, or None."""
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


def _with_shared_units(found: list[_Quantity], text: str) -> Iterator[_Quantity]:
    """800 in "at least 800, at most 900 words" and 900 in "minimum 800 words, maximum 900" have their neighbour's unit."""
    for place, quantity in enumerate(found):
        if quantity.known or _bound(quantity, text)[1:] == (0, 0):
            yield quantity
            continue
        ahead = found[place - 1] if place and found[place - 1].known else None
        behind = found[place + 1] if place + 1 < len(found) and found[place + 1].known else None
        next_to = (ahead and cues.JOINT.fullmatch(text[ahead.end : quantity.first.start]) and cues.ENDS.match(text, quantity.end)) or (
            behind and cues.JOINT.fullmatch(text[quantity.end : behind.first.start])
        )
        yield quantity._replace(known=bool(next_to))


def _unit(one: _Number, text: str) -> re.Match[str] | None:
    match = cues.UNIT.match(text, one.end)
    if not match or (match["letters"] and not match["chinese"] and not _HAS_HAN.search(text)) or (match["go"] and not _KANA.search(text)):
        return None
    return match


def _labelled(one: _Number, text: str) -> bool:
    before = text[max(0, one.start - NEAR) : one.start]
    if not any(map(before.__contains__, cues.LABEL_STEMS)):
        return False
    return bool(cues.LABEL.search(before)) and not cues.NO_LABEL_VALUE.match(text[one.end : one.end + 16])


# ---- what a quantity is the length of


def _mention(quantity: _Quantity, text: str) -> _Mention | None:
    start, end = quantity.first.start, quantity.end
    before, behind = text[max(0, start - NEAR) : start], text[end : end + NEAR]
    least = PART if len(text) > LONG_PROMPT else SHORTEST
    pieces = _pieces(quantity, before, behind, text)
    if not least <= quantity.high <= LONGEST or quantity.high % 1 or quantity.low % 1:
        return None
    if pieces is None and (_is_elsewhere(before, behind) or _is_brought(quantity, before, behind, text) or _is_part(before, behind, text)):
        return None
    kind, lead, trail = _bound(quantity, text)
    if kind == "exact" and (fault := cues.FAULT.match(behind)) and _is_reproach(fault[0]):
        return None  # "800 words is too long"
    return _Mention(
        start - lead,
        end + trail,
        round(quantity.low),
        round(quantity.high),
        kind,
        pieces,
        tolerance=round(quantity.tolerance) if kind == "exact" else 0,
        total=bool(cues.TOTAL.search(before[-24:]) or cues.TOTAL.search(behind[:12])),
    )


def _bound(quantity: _Quantity, text: str) -> tuple[LengthKind, int, int]:
    """The kind, and how far its phrase reaches before and behind the quantity."""
    start, end = quantity.first.start, quantity.end
    before, behind = text[max(0, start - NEAR) : start], text[end : end + NEAR]
    if not quantity.unit and (unit := cues.CJK_UNIT.match(behind)):  # 字数2000字以上, where the label comes first
        behind = behind[unit.end() :]
    if quantity.low < quantity.high:
        lead = cues.RANGE_LEAD.search(before)
        return "range", len(before) - lead.start() if lead else 0, 0
    if text[start] in "百千万" and before[-1:] in ("上", "过", "破") and before[-2:] not in ("以上", "不过"):  # 上万字
        return "at_least", 1, 0
    if (match := cues.EXACTLY.search(before)) and len(before) - match.end() <= 12:
        return "exact", len(before) - match.start(), 0
    if (match := cues.EXACTLY.search(behind)) and match.start() <= 8:
        return "exact", 0, match.end()
    if more_or_less := (cues.MORE_BEHIND.match(behind) or cues.LESS_BEHIND.match(behind)):
        up = bool(cues.MORE_BEHIND.match(behind))
        negated = cues.NOT_BEHIND.match(behind[more_or_less.end() :])
        trail = more_or_less.end() + (negated.end() if negated else 0)
        return "at_least" if up != bool(negated) else "at_most", 0, trail
    if match := cues.OR_MORE.match(behind):
        return "at_least", 0, match.end()
    if re.search(r"\+|plus|or more|above", quantity.unit):
        return "at_least", 0, 0
    if re.search(r"fewer|less", quantity.unit):
        return "at_most", 0, 0
    if match := cues.OR_LESS.match(behind):
        return "at_most", 0, match.end()
    return _bound_before(before, behind)


def _bound_before(before: str, behind: str) -> tuple[LengthKind, int, int]:
    fault = cues.FAULT.match(behind)
    turned = bool(fault and _is_reproach(fault[0]))
    for pattern, up in ((cues.MORE, True), (cues.LESS, False)):
        if match := pattern.search(before):
            negated = cues.NEGATED.search(before[: match.start()])
            kind: LengthKind = "at_least" if up != (bool(negated) != turned) else "at_most"
            return kind, len(before) - (negated or match).start(), fault.end() if fault and turned else 0
    if match := cues.AT_LEAST.search(before):
        return "at_least", len(before) - match.start(), 0
    if match := cues.AT_MOST.search(before):
        about = cues.ABOUT.match(behind)
        if re.match("控制|限|limit", match[0]) and (about or re.search("about|approx|around|roughly|约", match[0])):  # 控制在1500字左右
            return "exact", len(before) - match.start(), about.end() if about else 0
        return "at_most", len(before) - match.start(), 0
    about = cues.ABOUT.match(behind)
    return "exact", 0, about.end() if about else 0


def _is_reproach(fault: str) -> bool:
    """Whether it says that something is wrong: "is too long", "will not be accepted"; not "is enough"."""
    positive = re.search(r"acceptable|accepted|allowed|enough|(?<!in)sufficient|read\b|considered|graded|counted", fault)
    return not positive or fault.startswith("un") or bool(re.search(r"not|n['’]t|unaccept", fault))


def _is_elsewhere(before: str, behind: str) -> bool:
    """Whether it is a rate, a number of words to learn or to list, or a length that is named to be ruled out."""
    return bool(
        cues.RATE.match(behind)
        or cues.RATE_BEFORE.search(before)
        or (cues.VOCABULARY.search(before) and not cues.WRITE_THE.search(before))
        or (cues.ASKED.search(before) and re.match(r"[^.!\n]{0,20}\?", behind))
        or cues.QUESTION.search(before)
        or cues.BY.search(before)
        or cues.LEARNT_BEHIND.match(behind)
        or (cues.LISTED.search(before) and cues.LISTED_BEHIND.match(behind))
        or (re.search(r"\b(?:in|since|until|by)\s+$", before) and cues.YEAR_BEHIND.match(behind))
        or cues.NEGLECTED.search(before)
        or cues.NEGLECTED_BEHIND.match(behind)
    )


def _is_brought(quantity: _Quantity, before: str, behind: str, text: str) -> bool:
    """Whether it is the length of a text that the prompt brings along: "this 5,000-word article", "I have a 12,000-word thesis"."""
    if cues.OWNED.search(before) or cues.MADE_FROM.search(before):
        return True
    if (
        not cues.BROUGHT.search(before)
        or cues.ORDERED.search(before)
        or re.match(r"[\s-]{0,2}(?:limit|range|count|target|minimum|maximum|max|min)\b", behind)
    ):
        return False
    start = quantity.first.start
    return bool(
        cues.MADE_BEHIND.match(behind)
        or (cues.ASKING.match(text) and not cues.WRITING.search(text[:FAR]))  # "what does the 25-word sentence mean?"
        or cues.WORKED_ON.search(text[:FAR])
        or cues.WORKED_ON.search(text[max(0, start - FAR) : start + NEAR])
    )


def _is_part(before: str, behind: str, text: str) -> bool:
    """Whether it is the length of a title, an abstract or a sentence, and not of the text that is to be written."""
    match = cues.PART.search(before)
    if not match:
        behind_match = cues.PART_BEHIND.match(behind)
        if not behind_match or not cues.IS_PART.search(before):
            return False
        match = behind_match
    part = match["part"]
    if not cues.TITLES.fullmatch(part) and (text.find(part, 0, 24) >= 0 or "写" in match.groupdict().get("conn", "")):
        return False
    return not re.search(cues.WRITES + re.escape(part), text)


def _pieces(quantity: _Quantity, before: str, behind: str, text: str) -> _Pieces | None:
    """The pieces that have this length each; None where it is the length of the whole."""
    start = quantity.first.start
    if (of := _OF_PIECES.search(before)) and cues.PIECES.fullmatch(of["noun"]) and 2 <= number(of["n"]) <= MOST_PIECES:
        return _Pieces(number(of["n"]), number(of["n"]), start - len(before) + of.start(), start - len(before) + of.end("noun"))
    if quantity.unit.endswith("word") and (plural := cues.PLURAL_BEHIND.match(behind)) and (several := cues.SEVERAL.search(before)):
        n = number(several["n"]) if several["n"] else 0
        return _Pieces(n, n, start - len(before) + several.start(), start) if n and plural else _Pieces()
    match = cues.EACH_BEHIND.match(behind) or cues.EACH.search(before)
    if not match:
        return None
    key = next((group for group in match.groups() if group), "")
    counts = [*reversed([*_counts(text, max(0, start - FAR), start)]), *_counts(text, quantity.end, min(len(text), quantity.end + 80))]
    found = _count(counts, key, text)
    return None if cues.TIMES.match(key) and not _names(key, found, text) else found  # "a walk every day in 800 words"


def _count(counts: Sequence[_Pieces], key: str, text: str) -> _Pieces:
    """The count of the things that are named with "each", else the nearest count of things that texts come in."""
    for count in counts:
        if _names(key, count, text):
            return count
    if _stems(key) or _sign(key):  # "3 articles ... each paragraph"
        return _Pieces()
    likely = (count for count in counts if cues.PIECES.search(_things(text, count.end)[:32]) or _PLURAL.match(_things(text, count.end)))
    return next(likely, _Pieces())


def _stems(key: str) -> set[str]:
    return {word[:4] for word in _WORD.findall(key) if not _NO_KEY.fullmatch(word)}


def _sign(key: str) -> str:
    """The first character of a noun in Chinese, Japanese or Korean."""
    found = re.search(r"[\u30a0-\u30ff\u3400-\u9fff\uac00-\ud7af]", _NO_SIGN.sub("", key))
    return found[0] if found else ""


def _names(key: str, count: _Pieces, text: str) -> bool:
    """Whether the things that are counted are those named with "each"."""
    things = _things(text, count.end) if count.most else ""
    sign = _sign(key)
    classified = next((nouns for classifier, nouns in _CLASSIFIED.items() if things.lstrip().startswith(classifier)), "")
    return bool((sign and (sign in things[:8] or sign in classified)) or _stems(key) & {word[:4] for word in _WORD.findall(things)[:4]})


def _counts(text: str, start: int, end: int) -> Iterator[_Pieces]:
    """Counts of things between two places of the text: "52 entries", 五封信, "3-5 letters"."""
    for match in _NATIVE.finditer(text, start, end):
        yield _Pieces(_NATIVE_VALUES[match[1]], _NATIVE_VALUES[match[1]], match.start(), match.end(1))
    low = _Pieces()
    for match in _NUMBER.finditer(text, start, end):
        n = number(match[0])
        follows = text[match.end() : match.end() + 1]
        if (
            not 2 <= n <= MOST_PIECES
            or (follows.isascii() and follows.isalnum())
            or cues.NO_PIECES.match(text[match.end() : match.end() + 12])
        ):
            low = _Pieces()
            continue
        here = _Pieces(n, n, match.start(), match.end())
        if low.most and low.most < n and cues.RANGE.fullmatch(text[low.end : match.start()]):
            here = _Pieces(low.fewest, n, low.start, match.end())
        low = here
        if not _OPENS_RANGE.match(text, match.end()) and not _unit(_Number(match.start(), match.end(), n, n), text):
            yield here


def _things(text: str, start: int) -> str:
    """What is counted by the number that ends at `start`."""
    return re.split(r"[.,;!?\n。、]", text[start : start + 40])[0]


# ---- from mentions to a request

_Found = tuple[LengthRequest, list[tuple[int, int]]]


def _of_whole(mentions: list[_Mention]) -> _Found | None:
    whole = [mention for mention in mentions if mention.pieces is None]
    if not whole:
        return None
    products = [(mention.high * mention.pieces.most, mention.high) for mention in mentions if mention.pieces]
    best = max(whole, key=lambda mention: (mention.high, mention.kind != "exact"))
    if any(product >= 4 * best.high and best.high <= 2 * piece for product, piece in products) and not best.total:
        return None  # it is another part: "... and a 50-word introduction"
    spans = [(best.start, best.end)]
    if best.kind == "exact" and best.tolerance:
        return LengthRequest(best.high, "exact", best.high - best.tolerance, best.high + best.tolerance), spans
    lowest = [mention for mention in whole if mention.kind == "at_least" and mention is not best]
    if best.kind == "at_least" and any(m.kind == "at_most" and m.high < best.high <= 4 * m.high for m in whole):
        return NONE, []  # at least 2,000 words and at most 1,000
    if best.kind == "at_most" and lowest:
        low = max(lowest, key=lambda mention: mention.high)
        if low.high < best.high:
            return LengthRequest(best.high, "range", low.high, best.high), sorted([(low.start, low.end), *spans])
    return _request(best.kind, best.low, best.high), spans


def _of_pieces(mentions: list[_Mention], text: str) -> _Found | None:
    counted = [(mention, mention.pieces) for mention in mentions if mention.pieces and mention.pieces.most]
    if not counted:
        return None
    best, pieces = max(counted, key=lambda counted_: counted_[0].high * counted_[1].most)
    kind: LengthKind = "range" if best.kind == "exact" and pieces.fewest < pieces.most else best.kind
    low = best.low * pieces.fewest
    high = best.high * (pieces.fewest if kind == "at_least" else pieces.most)
    return _request(kind, low, high), sorted([(pieces.start, _end_of_noun(text, pieces.end)), (best.start, best.end)])


def _end_of_noun(text: str, start: int) -> int:
    match = _NOUN.match(text, start)
    return match.end() if match else start


def _request(kind: LengthKind, low: int, high: int) -> LengthRequest:
    """With the bounds that go with the kind."""
    lowest = {"exact": high, "at_least": high, "range": low}.get(kind)
    return LengthRequest(high, kind, lowest, None if kind == "at_least" else high)


def _in_sheets(text: str) -> _Found | None:
    """Sheets of manuscript paper: 原稿用紙5枚, 원고지 10매."""
    match = cues.SHEETS.search(text)
    if not match:
        return None
    size = int(match["size"] or SHEET["ja"]) if match["n"] else int(match["size_ko"] or SHEET["ko"])
    total = size * int(match["n"] or match["n_ko"])
    sheet = _Number(match.start(), match.end(), total, total)
    kind, lead, trail = _bound(_Quantity(sheet, sheet, match.end(), "枚", total, total, 0, True), text)
    return (_request(kind, total, total), [(match.start() - lead, match.end() + trail)]) if total else None


def _in_pages(text: str) -> _Found | None:
    """The first number of pages that the text wants written, not one of material that it brings along."""
    found = (match for start, end in _stretches(text, cues.PAGE_NAMES) for match in cues.PAGES.finditer(text, start, end))
    for match in islice(found, MENTIONS):
        before = text[max(0, match.start() - NEAR) : match.start()]
        if cues.PAGE_OF_MATERIAL.search(before):
            continue
        page = PAGE["页" if match["zh"] else "page"]
        pages = number(match["zh"] or match["value"])
        most = number(match["high"]) if match["high"] else pages
        if not 0 < pages <= most <= MOST_PAGES or match["zh"] == "一":  # 一页 is mostly a figure of speech
            continue
        one = _Number(match.start(), match.end(), pages, most)
        kind, lead, trail = _bound(_Quantity(one, one, match.end(), "page", pages, most, 0, True), text)
        return _request(kind, pages * page, most * page), [(match.start() - lead, match.end() + trail)]
    return None
