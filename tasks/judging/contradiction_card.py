"""The results of the contradiction judge: of texts (`longwriter eval contradictions`), and of its exam by planting.

The exam plants contradictions of each class into answers and asks the judge for them. Recall is the share of planted contradictions that
it reports. Precision is the share of its reports that were planted; reports that it also makes of the answers without plants may be
right, so precision has a second value without these.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Literal, NamedTuple

from tasks import store
from tasks.judging.contradiction_plants import PlantedContradiction, distance_class
from tasks.judging.contradictions import KINDS, PER, ReadText, density, merged, span_of
from tasks.judging.exam_card import file_name
from tasks.schema.records import Contradiction, Record
from tasks.statistics import Interval, bootstrap, wilson

EXAMS = Path("data/raw/contradiction_exams")  # default folder of the cards
TENTHS = 10


class KindFigures(Record):
    """Contradictions of one class in the scored texts."""

    count: int
    density: float  # mean over the texts of errors per 10,000 words


class ContradictionFigures(Record):
    """The contradictions of one model's texts. Only a text of which every part could be read is scored."""

    texts: int
    empty: int  # texts without words, in no other figure
    scored: int
    unscored: int  # texts with a part that could not be read
    parts: int
    unread: int  # parts without a readable reply
    words: int  # of the scored texts
    count: int  # contradictions in the scored texts
    density: float | None  # CED: mean over the scored texts of errors per 10,000 words; None: no text is scored
    interval: Interval | None  # 95%, bootstrap over topics; None: fewer than two topics
    free: float | None  # share of the scored texts without a contradiction
    by_kind: dict[str, KindFigures]
    by_position: tuple[int, ...]  # contradictions by the tenth of the text in which the later place is
    distance: float | None  # median words between the two places


class ContradictionReport(Record):
    """contradictions.json of `longwriter eval contradictions`."""

    format: Literal[1] = 1
    judge: str  # with its decoding and its prompt's digest
    source: str
    part: int  # words of a judged part
    context: int  # tokens
    exam: str | None  # file of the judge's card; None: the judge was not examined
    calls: int  # requests behind the report, second tries included, paid now or before
    models: dict[str, ContradictionFigures]


class JudgedWhole(NamedTuple):
    """A text with what was said of it."""

    read: ReadText
    words: int
    characters: int
    topic: str


def figures(every: Sequence[JudgedWhole]) -> ContradictionFigures:
    """The figures of one model's texts."""
    texts = [one for one in every if one.words]
    scored = [one for one in texts if not one.read.unread]
    found = [one for text in scored for one in text.read.found]
    densities = [density(len(one.read.found), one.words) for one in scored]
    tenths = Counter(min(TENTHS - 1, TENTHS * one.later.start // text.characters) for text in scored for one in text.read.found)
    return ContradictionFigures(
        texts=len(texts),
        empty=len(every) - len(texts),
        scored=len(scored),
        unscored=len(texts) - len(scored),
        parts=sum(one.read.parts for one in texts),
        unread=sum(one.read.unread for one in texts),
        words=sum(one.words for one in scored),
        count=len(found),
        density=fmean(densities) if densities else None,
        interval=bootstrap(densities, [one.topic for one in scored]) if densities else None,
        free=sum(not one.read.found for one in scored) / len(scored) if scored else None,
        by_kind={kind: _of_kind(kind, scored) for kind in KINDS},
        by_position=tuple(tenths[place] for place in range(TENTHS)),
        distance=median(one.distance for one in found) if found else None,
    )


def _of_kind(kind: str, scored: Sequence[JudgedWhole]) -> KindFigures:
    counts = [sum(one.kind == kind for one in text.read.found) for text in scored]
    each = [density(count, text.words) for count, text in zip(counts, scored, strict=True)]
    return KindFigures(count=sum(counts), density=fmean(each) if each else 0.0)


class Rate(Record):
    """A share of a count, with Wilson's 95% interval."""

    hits: int
    of: int
    share: float | None  # None: of is 0
    interval: Interval | None


class PlantedFigures(Record):
    """Recall and precision of one class of contradictions, or of distances."""

    recall: Rate  # of the planted contradictions in texts that could be read
    precision: Rate  # of all reports
    precision_without_own: Rate  # of the reports that were not also made of the answer without plants


class ContradictionCard(Record):
    """The result of `longwriter eval contradiction-exam`."""

    format: Literal[1] = 1
    judge: str
    source: str  # file of the answers
    texts: int
    words: int  # of the answers
    part: int
    context: int
    parts: int  # of the answers, without plants and with them
    unread: int  # parts without a readable reply; their plants are in no recall, and counted here
    unread_plants: int
    total: PlantedFigures
    by_kind: dict[str, PlantedFigures]
    by_distance: dict[str, PlantedFigures]
    kind_named: Rate  # reports of planted contradictions that name the right class
    own: int  # reports on the answers without plants: contradictions of the answers, or inventions
    own_density: float | None  # the same per 10,000 words
    refused: int  # replies that were refused, most because of a quote that is not in the text
    calls: int


class ExaminedText(NamedTuple):
    """One answer: the reports without and with plants."""

    words: int
    plants: Sequence[PlantedContradiction]
    own: ReadText
    planted: ReadText


class _Report(NamedTuple):
    """A report on a planted text. `plant`: the planted contradiction that it names; None: none."""

    found: Contradiction
    plant: PlantedContradiction | None
    own: bool  # the same quotes were reported of the answer without plants


class Reports(NamedTuple):
    """What is counted in an exam."""

    planted: list[tuple[PlantedContradiction, bool]]  # with whether it was reported
    reports: list[_Report]
    unread_plants: int


def matched(texts: Iterable[ExaminedText]) -> Reports:
    """Reports matched with plants: both quotes touch the planted places. A text with an unread part only has its plants counted."""
    planted, reports, lost = list[tuple[PlantedContradiction, bool]](), list[_Report](), 0
    for text in texts:
        if text.planted.unread or text.own.unread:
            lost += len(text.plants)
            continue
        own = {(one.earlier.text, one.later.text) for one in text.own.found}
        mine = [_report(found, text.plants, own) for found in merged(text.planted.found)]
        reports += mine
        planted += [(plant, any(report.plant is plant for report in mine)) for plant in text.plants]
    return Reports(planted, reports, lost)


def _report(found: Contradiction, plants: Sequence[PlantedContradiction], own: set[tuple[str, str]]) -> _Report:
    plant = next((plant for plant in plants if _names(found, plant)), None)
    return _Report(found, plant, (found.earlier.text, found.later.text) in own)


def _names(found: Contradiction, plant: PlantedContradiction) -> bool:
    return span_of(found.earlier).overlaps(plant.earlier) and span_of(found.later).overlaps(plant.later)


def _figures(counted: Reports, *, kind: str | None = None, distance: str | None = None) -> PlantedFigures:
    """Recall and precision of all contradictions, or of one class of them, or of one class of distances."""

    def belongs(one: PlantedContradiction | Contradiction) -> bool:
        return kind in (None, one.kind) and distance in (None, distance_class(one.distance))

    hits = [hit for one, hit in counted.planted if belongs(one)]
    reports = [one for one in counted.reports if belongs(one.found)]
    new = [one for one in reports if not one.own]
    return PlantedFigures(
        recall=rate(sum(hits), len(hits)),
        precision=rate(sum(one.plant is not None for one in reports), len(reports)),
        precision_without_own=rate(sum(one.plant is not None for one in new), len(new)),
    )


def rate(hits: int, of: int) -> Rate:
    return Rate(hits=hits, of=of, share=hits / of if of else None, interval=wilson(hits, of))


def card_of(
    texts: Sequence[ExaminedText], *, judge: str, source: str, part: int, context: int, refused: int, calls: int
) -> ContradictionCard:
    """The card of an exam."""
    counted = matched(texts)
    right = [one for one in counted.reports if one.plant]
    distances = dict.fromkeys(distance_class(words) for words in sorted({one.distance for one, _ in counted.planted}))
    read = [one for one in texts if not one.own.unread]
    words, own = sum(one.words for one in read), sum(len(one.own.found) for one in read)
    return ContradictionCard(
        judge=judge,
        source=source,
        texts=len(texts),
        words=sum(one.words for one in texts),
        part=part,
        context=context,
        parts=sum(one.own.parts + one.planted.parts for one in texts),
        unread=sum(one.own.unread + one.planted.unread for one in texts),
        unread_plants=counted.unread_plants,
        total=_figures(counted),
        by_kind={kind: _figures(counted, kind=kind) for kind in KINDS},
        by_distance={name: _figures(counted, distance=name) for name in distances},
        kind_named=rate(sum(one.plant is not None and one.plant.kind == one.found.kind for one in right), len(right)),
        own=own,
        own_density=own * PER / words if words else None,
        refused=refused,
        calls=calls,
    )


def write_card(folder: Path, card: ContradictionCard) -> Path:
    """Writes the card, in place of an earlier card of the same judge. Returns its path."""
    path = folder / file_name(card.judge)
    store.write_json(path, card)
    return path


def card_file(folder: Path, judge: str) -> Path | None:
    """The file of a judge's card; None if the judge was not examined."""
    path = folder / file_name(judge)
    return path if path.is_file() else None
