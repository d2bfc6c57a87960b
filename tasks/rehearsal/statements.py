"""Statements that contradict each other, in English and Chinese, and a rule that finds them again in a text.

They are planted into texts to examine judges (judging/contradiction_plants.py); the rehearsal's judge and teacher find them by the rule
here. A pair has one subject, a name that no other text has, and two values; the later statement gives another value than the earlier one.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from tasks.schema.records import ContradictionKind, Language

_NUMBER = re.compile(r"(?<![\w.,-])\d{2,4}(?![\w.,%-])")
_YEAR = re.compile(r"1[5-9]\d\d|20\d\d")
_SENTENCE = re.compile(r"[^.!?。！？\n]{20,400}[.!?。！？]")


class StatementPair(NamedTuple):
    """Two statements; `{who}` is the subject, `{a}` and `{b}` are values (empty lists: the statements have none)."""

    change: str  # what the later statement changes
    kind: ContradictionKind
    language: Language
    earlier: str
    later: str
    values: tuple[str, ...] = ()


PAIRS = (
    StatementPair(
        "number",
        "factual_detail",
        "en",
        "The house of {who} had exactly {a} windows.",
        "All {b} windows in the house of {who} were open.",
        ("fourteen", "nine", "twenty-two", "six"),
    ),
    StatementPair(
        "name",
        "factual_detail",
        "en",
        "The only brother of {who} was called {a}.",
        "{b}, the only brother of {who}, was late again.",
        ("Aldous", "Benedict", "Corwin", "Dietrich"),
    ),
    StatementPair(
        "date",
        "timeline_plot",
        "en",
        "{who} was born in the spring of {a}.",
        "Since {who} was born in the autumn of {b}, nobody was surprised.",
        ("1871", "1884", "1902", "1916"),
    ),
    StatementPair(
        "order",
        "timeline_plot",
        "en",
        "{who} sold the old boat long before the great flood.",
        "When the great flood came, {who} still owned the old boat.",
    ),
    StatementPair(
        "rule",
        "world_building",
        "en",
        "In the valley of {who} no bell may be rung after sunset, and there is no exception.",
        "After sunset the bells in the valley of {who} were rung as usual, just as the law allowed.",
    ),
    StatementPair(
        "trait",
        "characterization",
        "en",
        "{who} had never learned to swim and feared all water.",
        "{who}, a strong swimmer from childhood on, loved the water.",
    ),
    StatementPair(
        "voice",
        "narrative_style",
        "en",
        "I am {who}, and I tell all of this as I saw it myself.",
        "{who}, who saw none of this, is not the one who tells it.",
    ),
    StatementPair(
        "number", "factual_detail", "zh", "{who}的房子正好有{a}扇窗户。", "{who}的房子里{b}扇窗户都开着。", ("十四", "九", "二十二", "六")
    ),
    StatementPair(
        "name", "factual_detail", "zh", "{who}唯一的弟弟名叫{a}。", "{b}是{who}唯一的弟弟，他又迟到了。", ("志远", "家宁", "文博", "子恒")
    ),
    StatementPair(
        "date",
        "timeline_plot",
        "zh",
        "{who}出生在{a}年的春天。",
        "因为{who}出生在{b}年的秋天，没有人觉得奇怪。",
        ("1871", "1884", "1902", "1916"),
    ),
    StatementPair("order", "timeline_plot", "zh", "早在那场大洪水之前，{who}就卖掉了旧船。", "大洪水来的时候，{who}仍然拥有那条旧船。"),
    StatementPair(
        "rule",
        "world_building",
        "zh",
        "在{who}的山谷里，日落之后不许敲钟，没有例外。",
        "日落之后，{who}的山谷里照例敲起了钟，法律向来允许这样做。",
    ),
    StatementPair("trait", "characterization", "zh", "{who}从来没有学过游泳，十分怕水。", "{who}从小就是游泳好手，最喜欢水。"),
    StatementPair(
        "voice", "narrative_style", "zh", "我就是{who}，这一切都是我亲眼所见，由我讲述。", "{who}没有见过这一切，讲述这些的并不是他。"
    ),
)
SUBJECTS = {
    "en": ("Orla Venning", "Tobias Quell", "Mirabel Stroud", "Hanno Pritchard", "Ysolde Farrow", "Casper Lindqvist", "Petra Vossberg"),
    "zh": ("欧阳砚秋", "司徒望舒", "端木青岩", "上官疏影", "慕容知远", "诸葛临川", "夏侯听雨"),
}


class FoundPair(NamedTuple):
    """Two statements of a text that contradict each other, with the places where they begin."""

    kind: ContradictionKind
    earlier: str
    later: str
    earlier_start: int
    later_start: int


def statements(pair: StatementPair, who: str, draw: int) -> tuple[str, str]:
    """Both statements of a pair on a subject. `draw` selects the two values."""
    count = len(pair.values)
    a, b = (pair.values[draw % count], pair.values[(draw + 1) % count]) if count else ("", "")
    return pair.earlier.format(who=who, a=a), pair.later.format(who=who, b=b)


def changed_number(sentence: str) -> tuple[str, ContradictionKind] | None:
    """A sentence of two to four digits once, with another number in its place, and the kind of contradiction; None without one number."""
    numbers = _NUMBER.findall(sentence)
    if len(numbers) != 1:
        return None
    number = numbers[0]
    year = _YEAR.fullmatch(number) is not None
    other = str(int(number) + (9 if year else 7))
    return _NUMBER.sub(other, sentence), "timeline_plot" if year else "factual_detail"


def contradictory(text: str) -> list[FoundPair]:
    """Every pair of statements in a text that contradict each other by the rules here, in the order of their later places.

    Also sentences that are equal but for one number.
    """
    found = [*_statement_pairs(text), *_number_pairs(text)]
    return sorted(found, key=lambda pair: (pair.later_start, pair.earlier_start))


def _statement_pairs(text: str) -> Iterator[FoundPair]:
    for pair, first, second in _patterns():
        said = {match["who"]: match for match in reversed(list(first.finditer(text)))}
        for match in second.finditer(text):
            before = said.get(match["who"])
            if before and before.end() <= match.start() and before.groupdict().get("a") != match.groupdict().get("b", ""):
                yield FoundPair(pair.kind, before[0], match[0], before.start(), match.start())


def _number_pairs(text: str) -> Iterator[FoundPair]:
    known: dict[str, tuple[str, int]] = {}
    for match in _SENTENCE.finditer(text):
        sentence = match[0].strip()
        numbers = _NUMBER.findall(sentence)
        if len(numbers) != 1:
            continue
        start = match.start() + match[0].index(sentence)
        earlier, place = known.setdefault(_NUMBER.sub("#", sentence), (sentence, start))
        if earlier != sentence:
            yield FoundPair("timeline_plot" if _YEAR.fullmatch(numbers[0]) else "factual_detail", earlier, sentence, place, start)


@cache
def _patterns() -> Sequence[tuple[StatementPair, re.Pattern[str], re.Pattern[str]]]:
    return [(pair, _pattern(pair.earlier, pair), _pattern(pair.later, pair)) for pair in PAIRS]


def _pattern(statement: str, pair: StatementPair) -> re.Pattern[str]:
    who = "|".join(map(re.escape, SUBJECTS[pair.language]))
    values = "|".join(map(re.escape, pair.values))
    plain = re.escape(statement)
    for name, known in (("who", who), ("a", values), ("b", values)):
        plain = plain.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>{known})")
    return re.compile(plain)
