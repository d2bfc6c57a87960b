"""One row as the page shows it: paragraphs beside their steps of the plan, with asked and written words; loops and repeats marked."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tasks.judging.grades import DIMENSIONS
from tasks.reader.files import Found
from tasks.reader.index import Index, Listed
from tasks.reader.shapes import Part, Shape
from tasks.schema.records import Step
from tasks.text.adherence import matched
from tasks.text.counts import count_words, s_l
from tasks.text.degeneration import RepeatedSpan, repeated_spans

LONGEST = 2_000_000  # characters of a text that are shown
_LINE = re.compile(r"\n+")
_BLANK = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")


class Segment(NamedTuple):
    """A stretch of text. `mark` is loop, repeat, or empty."""

    text: str
    mark: str


class ShownParagraph(NamedTuple):
    """A paragraph with the steps of the plan that it covers."""

    steps: Sequence[Step]
    segments: Sequence[Segment]
    written: int  # words, in the paper's count

    @property
    def asked(self) -> int | None:
        return sum(step.words for step in self.steps) if self.steps else None

    @property
    def score(self) -> float | None:
        return s_l(self.asked, self.written) if self.asked else None


class ShownPart(NamedTuple):
    """One text of a row."""

    title: str
    paragraphs: Sequence[ShownParagraph]
    thoughts: str
    written: int
    s_l: float | None
    s_q: float | None
    looped: int  # characters in loops
    repeated: int  # characters in repeated passages
    characters: int
    cut: int  # characters that are not shown


class ShownVerdict(NamedTuple):
    """One verdict of a judge."""

    judge: str
    second: bool
    repeat: int
    grades: Sequence[int] | None  # in the order of DIMENSIONS; None: unscored
    replies: Sequence[str]
    reasoning: Sequence[str]
    problem: str

    @property
    def mean(self) -> float | None:
        return sum(self.grades) / len(self.grades) if self.grades else None


class Entry(NamedTuple):
    """One row, complete."""

    row: Listed
    shape: Shape
    parts: Sequence[ShownPart]
    plan: Sequence[Step]
    unmatched: Sequence[Step]  # steps that no paragraph covers
    verdicts: Sequence[ShownVerdict]


class Difference(NamedTuple):
    """A figure of two rows: the shown one, the one beside it."""

    name: str
    one: float | None
    other: float | None

    @property
    def value(self) -> float | None:
        return None if self.one is None or self.other is None else self.one - self.other


def entry_of(index: Index, row: Listed) -> Entry:
    """Reads a row with its plan and verdicts."""
    shape = index.shape(row)
    steps = shape.steps
    if not steps and shape.kind == "sample" and (draft := index.draft_of(shape.id)):
        steps = draft.steps
    parts, unmatched = list[ShownPart](), list[Step](steps)
    for part in shape.parts:
        shown, unmatched = _part(part, steps)
        parts.append(shown)
    return Entry(row, shape, parts, steps, unmatched, [_verdict(found) for found in index.verdicts(row) if found.data])


def _part(part: Part, steps: Sequence[Step]) -> tuple[ShownPart, list[Step]]:
    text = part.text[:LONGEST]
    spans = list(_paragraphs(text, part.paragraphs))
    by_paragraph, unmatched = _assigned(steps, [text[start:end] for start, end in spans])
    repeats = repeated_spans(text) if part.title != "JSON" else []
    paragraphs = [
        ShownParagraph(own, list(_segments(text, start, end, repeats)), count_words(text[start:end]))
        for (start, end), own in zip(spans, by_paragraph, strict=True)
    ]
    lengths = [sum(span.end - span.start for span in repeats if span.loop is loop) for loop in (True, False)]
    cut = len(part.text) - len(text)
    shown = ShownPart(
        part.title, paragraphs, part.thoughts, count_words(part.text), part.s_l, part.s_q, lengths[0], lengths[1], len(text), cut
    )
    return shown, unmatched


def _paragraphs(text: str, own: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Start and end of each paragraph: the given ones, which are joined by blank lines in the text; else those between blank lines;
    lines, in a text without blank lines."""
    start = 0
    if own:
        for paragraph in own:
            if start < len(text):
                yield start, min(start + len(paragraph), len(text))
            start += len(paragraph) + 2
        return
    for blank in (_BLANK if _BLANK.search(text.strip()) else _LINE).finditer(text):
        if text[start : blank.start()].strip():
            yield start, blank.start()
        start = blank.end()
    if text[start:].strip():
        yield start, len(text)


def _assigned(steps: Sequence[Step], paragraphs: Sequence[str]) -> tuple[list[list[Step]], list[Step]]:
    """The steps of each paragraph, and the steps of none. As many steps as paragraphs belong together one by one; else by their words."""
    if not steps or not paragraphs:
        return [[] for _ in paragraphs], list(steps)
    if len(steps) == len(paragraphs):
        return [[step] for step in steps], []
    places = matched([step.point for step in steps], paragraphs)
    by_paragraph: list[list[Step]] = [[] for _ in paragraphs]
    for step, place in zip(steps, places, strict=True):
        if place is not None:
            by_paragraph[place].append(step)
    return by_paragraph, [step for step, place in zip(steps, places, strict=True) if place is None]


def _segments(text: str, start: int, end: int, repeats: Sequence[RepeatedSpan]) -> Iterator[Segment]:
    """The text from `start` to `end`, cut where a repetition begins or ends."""
    for span in repeats:
        low, high = max(span.start, start), min(span.end, end)
        if low < high:
            if start < low:
                yield Segment(text[start:low], "")
            yield Segment(text[low:high], "loop" if span.loop else "repeat")
            start = high
    if start < end:
        yield Segment(text[start:end], "")


def _verdict(found: Found) -> ShownVerdict:
    data = dict(found.data or {})
    rubric = data.get("rubric")
    grades = [rubric.get(name) for name in DIMENSIONS] if isinstance(rubric, dict) else []
    whole = [grade for grade in grades if isinstance(grade, int)]
    known = whole if len(whole) == len(DIMENSIONS) else None
    texts = {name: [str(one) for one in data.get(name) or ()] for name in ("replies", "reasoning")}
    problem = str(data.get("problem") or ("" if known else "no grades"))
    return ShownVerdict(
        str(data.get("judge", "")),
        bool(data.get("second")),
        int(data.get("repeat") or 0),
        known,
        texts["replies"],
        texts["reasoning"],
        problem,
    )


def differences(one: Entry, other: Entry) -> list[Difference]:
    """Lengths, scores and mean grades of two rows; without figures that both lack."""
    rows = [
        Difference(name, getattr(one.row, key), getattr(other.row, key))
        for name, key in (("written", "written"), ("S_l", "s_l"), ("S_q", "s_q"))
    ]
    for place, name in enumerate(DIMENSIONS):
        means = [_mean_grade(side, place) for side in (one, other)]
        if any(mean is not None for mean in means):
            rows.append(Difference(name.replace("_", " "), *means))
    return [row for row in rows if (row.one, row.other) != (None, None)]


def _mean_grade(entry: Entry, place: int) -> float | None:
    grades = [verdict.grades[place] for verdict in entry.verdicts if verdict.grades and not verdict.second]
    return sum(grades) / len(grades) if grades else None
