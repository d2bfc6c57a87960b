"""Contradictions planted by rule into an answer, at known places and distances: `longwriter eval contradiction-exam`.

Each answer gets one contradiction of each of the five classes. Where the answer has a sentence with a number or a year, it is said again
later with another one; otherwise both statements are new sentences (rehearsal/statements.py). New sentences stand between two sentences of
a paragraph, so nothing of the answer is lost. The same answer and place give the same text on every machine.
"""

import random
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from tasks.judging.contradictions import KINDS
from tasks.rehearsal.statements import PAIRS, SUBJECTS, changed_number, statements
from tasks.schema.records import ContradictionKind, Language
from tasks.text.quotes import Span
from tasks.text.words import count_fixed

DISTANCES = (500, 2_000, 10_000)  # words: upper bounds of the classes of distance; the last class has no bound
AIMED = (200, 1_000, 5_000, 15_000)  # words between the two places, one aim for each class
LINE = 80  # bytes of a line from which it is prose, and no heading
ROOM = 0.9  # share of an answer's words that the two places may be apart
SHORTEST = 150  # words of an answer
_STOP = re.compile(r"(?<=[.!?][\"”’)])\s|(?<=[.!?])\s|(?<=[。！？])(?![”’」』）])")
_SENTENCE = re.compile(r"[^.!?\n]{30,300}[.!?]")


class PlantedContradiction(NamedTuple):
    """A planted contradiction, with its places in the planted text."""

    kind: ContradictionKind
    change: str  # what the later statement changes
    earlier: Span
    later: Span
    distance: int  # words between the two places


class PlantedAnswer(NamedTuple):
    """An answer with contradictions."""

    text: str
    plants: tuple[PlantedContradiction, ...]


class _Plan(NamedTuple):
    """A contradiction before it is planted. Places are slots of the answer; a slot of -1 means that `first` is the answer's own words."""

    kind: ContradictionKind
    change: str
    first: str
    second: str
    earlier: int
    later: int
    own: Span | None = None


class _Slots(NamedTuple):
    """Places between two sentences, with the words of the answer before each."""

    places: Sequence[int]
    words: Sequence[int]

    def near(self, words: float, taken: set[int]) -> int | None:
        """The free slot that is nearest to so many words of the answer."""
        order = sorted(range(len(self.places)), key=lambda slot: (abs(self.words[slot] - words), slot))
        return next((slot for slot in order if slot not in taken), None)


def distance_class(words: int) -> str:
    """The name of a class of distances, such as `501 to 2,000 words`."""
    names = [f"{low + 1:,} to {high:,} words" for low, high in zip((-1, *DISTANCES), DISTANCES, strict=False)]
    return [*names, f"over {DISTANCES[-1]:,} words"][bisect_left(DISTANCES, words)]


def plant(text: str, language: str, *, place: int) -> PlantedAnswer:
    """The answer with one contradiction of each class for which it has room. `place`, the answer's number, selects forms and distances."""
    own: Language = "zh" if language == "zh" else "en"
    slots, total = _slots(text), count_fixed(text)
    aims = [aim for aim in AIMED if aim <= ROOM * total] or [round(ROOM * total / 2)]
    taken, plans = set[int](), list[_Plan]()
    for turn in range(len(KINDS)):
        kind, aim = KINDS[(turn + place) % len(KINDS)], aims[(turn + place) % len(aims)]
        if plan := _planned(kind, own, text, slots, taken, aim, total, draw=place * len(KINDS) + turn, subject=turn):
            plans.append(plan)
            taken |= {plan.earlier, plan.later}
    return _written(text, plans, slots, own)


def _slots(text: str) -> _Slots:
    """The places behind a sentence of prose that another sentence of the same line follows."""
    places, start = list[int](), 0
    for line in text.splitlines(keepends=True):
        if len(line.encode()) >= LINE and line[0] not in "#|>-*`":
            found = (start + match.start() for match in _STOP.finditer(line) if line[match.end() :].strip())
            places += found
        start += len(line)
    words = list(accumulate(count_fixed(text[begin:end]) for begin, end in zip([0, *places], places, strict=False)))
    return _Slots(places, words)


def _planned(
    kind: ContradictionKind,
    language: Language,
    text: str,
    slots: _Slots,
    taken: set[int],
    aim: int,
    total: int,
    *,
    draw: int,
    subject: int,
) -> _Plan | None:
    """A contradiction of a class about `aim` words apart; None if no two slots are left."""
    luck = random.Random(f"{draw} {kind} {total}")
    changed = _changed(kind, text, aim, total, luck)
    start = luck.uniform(0, max(0, total - aim))
    if changed:
        sentence, second, span = changed
        later = slots.near(count_fixed(text[: span.end]) + aim, taken | _before(slots, span.end))
        if later is not None:
            return _Plan(kind, "year" if kind == "timeline_plot" else "number", sentence, second, -1, later, span)
    earlier = slots.near(start, taken)
    if earlier is None:
        return None
    later = slots.near(slots.words[earlier] + aim, taken | set(range(earlier + 1)))
    if later is None:
        return None
    pairs = [pair for pair in PAIRS if pair.kind == kind and pair.language == language]
    pair = pairs[draw % len(pairs)]
    first, second = statements(pair, SUBJECTS[language][subject], draw)
    return _Plan(kind, pair.change, first, second, earlier, later)


def _before(slots: _Slots, end: int) -> set[int]:
    return set(range(bisect_right(slots.places, end)))


def _changed(kind: ContradictionKind, text: str, aim: int, total: int, luck: random.Random) -> tuple[str, str, Span] | None:
    """A sentence of the answer with one number, the same with another number, and its place; None if there is none with room behind it."""
    last = len(text) * (1 - aim / max(1, total))
    found = list[tuple[str, str, Span]]()
    for match in _SENTENCE.finditer(text):
        sentence = match[0].strip()
        start = match.start() + match[0].index(sentence)
        begins = start == 0 or text[max(0, start - 2) : start].strip() in ("", ".", "!", "?")
        changed = changed_number(sentence) if begins and start <= last and text.count(sentence) == 1 else None
        if changed and changed[1] == kind:
            found.append((sentence, changed[0], Span(start, start + len(sentence))))
    return luck.choice(found) if found else None


def _written(text: str, plans: Sequence[_Plan], slots: _Slots, language: Language) -> PlantedAnswer:
    """The answer with the plans' sentences in their slots."""
    joint = "" if language == "zh" else " "
    new = sorted((slot, place, sentence) for place, plan in enumerate(plans) for slot, sentence in _sentences(plan))
    parts, spans, at, length = list[str](), dict[tuple[int, int], Span](), 0, 0
    for slot, place, sentence in new:
        before = f"{text[at : slots.places[slot]]}{joint}"
        start = length + len(before)
        spans[place, slot] = Span(start, start + len(sentence))
        parts += [before, sentence]
        at, length = slots.places[slot], start + len(sentence)
    whole = "".join([*parts, text[at:]])
    ends = [(slots.places[slot], len(joint) + len(sentence)) for slot, _, sentence in new]
    return PlantedAnswer(whole, tuple(_plant(whole, plan, place, spans, ends) for place, plan in enumerate(plans)))


def _sentences(plan: _Plan) -> list[tuple[int, str]]:
    later = (plan.later, plan.second)
    return [later] if plan.own else [(plan.earlier, plan.first), later]


def _plant(
    whole: str, plan: _Plan, place: int, spans: dict[tuple[int, int], Span], ends: Sequence[tuple[int, int]]
) -> PlantedContradiction:
    if plan.own:
        moved = sum(added for at, added in ends if at <= plan.own.start)
        earlier = Span(plan.own.start + moved, plan.own.end + moved)
    else:
        earlier = spans[place, plan.earlier]
    later = spans[place, plan.later]
    assert whole[earlier.start : earlier.end] == plan.first
    assert whole[later.start : later.end] == plan.second
    return PlantedContradiction(plan.kind, plan.change, earlier, later, count_fixed(whole[earlier.end : later.start]))
