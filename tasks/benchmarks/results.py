"""Sums up a benchmark's scored answers: each measure overall and by group, with intervals, unscored items and their bounds.

Samples of an item are averaged first, then items. What is unscored is counted and never filled in; `bounds` say what a figure would be if
all unscored values were the lowest, or the highest.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType
from typing import NamedTuple

from pydantic import Field

from tasks.benchmarks.grading import Grade
from tasks.benchmarks.interface import Benchmark, GivenAnswer, Item, Measure, Suite, Values
from tasks.schema.records import ByName, Record
from tasks.statistics import Interval, intervals


class ScoredAnswer(Record):
    """The values of one answer: items.jsonl."""

    id: str
    model: str
    sample: int
    group: str
    cluster: str = ""  # items that differ only in the asked length share one; empty: the id
    values: dict[str, float | None]  # None: unscored
    finish_reason: str = ""


class BenchmarkFigure(Record):
    """One measure over some items."""

    value: float | None  # None: no item is scored
    items: int  # items with a value
    unscored: int  # items without one
    interval: Interval | None = None  # 95%, over clusters of items; None: too few, or the measure is no mean over items
    bounds: Interval | None = None  # with all unscored values at the lowest and at the highest; None: none is unscored, or none is scored


class BenchmarkScores(Record):
    """The result of one model on one benchmark: scores.json holds one for each model."""

    benchmark: str
    revision: str  # of the authors' files; empty: none is pinned
    judge: str | None  # None: not judged
    items: int  # of the benchmark
    answered: int  # items with an answer
    answers: int
    unscored: int = Field(description="answers that lack a value that the judge was asked for, or all of these if nobody judged")
    unread: int  # verdicts that could not be read
    verdicts: int
    headline: str  # the figure that the benchmark is known by
    figures: dict[str, BenchmarkFigure]
    by_group: dict[str, dict[str, BenchmarkFigure]]


AllScores = ByName[BenchmarkScores]  # scores.json: by model

Key = tuple[str, str, int]  # item id, model, sample


class Graded(NamedTuple):
    """The judge's grades of each answer, repeats averaged."""

    values: dict[Key, dict[str, float | None]]
    verdicts: int
    unread: int
    by_model: Mapping[str, tuple[int, int]] = MappingProxyType({})  # verdicts and unread ones of each model


def collected(grades: Iterable[Grade]) -> Graded:
    """The mean of the readable repeats of each grade; None if no repeat could be read."""
    read: dict[Key, dict[str, list[float]]] = {}
    counts: dict[str, tuple[int, int]] = {}
    for grade in grades:
        verdicts, unread = counts.get(grade.model, (0, 0))
        counts[grade.model] = (verdicts + 1, unread + (grade.grades is None))
        own = read.setdefault((grade.id, grade.model, grade.sample), {})
        for name in grade.names:
            own.setdefault(name, []).extend([grade.grades[name]] if grade.grades else [])
    means = {key: {name: fmean(found) if found else None for name, found in own.items()} for key, own in read.items()}
    return Graded(means, sum(verdicts for verdicts, _ in counts.values()), sum(unread for _, unread in counts.values()), counts)


def score_answers(suite: Suite, items: Mapping[str, Item], answers: Iterable[GivenAnswer], graded: Graded) -> Iterator[ScoredAnswer]:
    """Yields the values of every answer."""
    for answer in answers:
        item = items[answer.id]
        grades = graded.values.get((answer.id, answer.model, answer.sample), {})
        values = suite.values(item, suite.rule(item, answer), grades)
        yield ScoredAnswer(
            id=item.id,
            model=answer.model,
            sample=answer.sample,
            group=item.group,
            cluster=item.cluster,
            values=dict(values),
            finish_reason=answer.finish_reason,
        )


def sum_up(
    one: Benchmark, suite: Suite, scored: Sequence[ScoredAnswer], graded: Graded, *, judge: str | None
) -> dict[str, BenchmarkScores]:
    """The result of each model, in order of first occurrence."""
    found = {}
    for model in dict.fromkeys(answer.model for answer in scored):
        own = [answer for answer in scored if answer.model == model]
        verdicts, unread = graded.by_model.get(model, (0, 0) if graded.by_model else (graded.verdicts, graded.unread))
        rows = _by_item(own)
        groups = dict.fromkeys(item.group for item in suite.items if item.group and item.id in rows)
        members = {group: [item for item in suite.items if item.id in rows and item.group == group] for group in groups}
        shown = [measure for measure in suite.measures if measure.grouped]
        found[model] = BenchmarkScores(
            benchmark=one.card.name,
            revision=one.card.revision,
            judge=judge,
            items=len(suite.items),
            answered=len(rows),
            answers=len(own),
            unscored=sum(_lacks(answer, suite) for answer in own),
            unread=unread,
            verdicts=verdicts,
            headline=suite.measures[0].name,
            figures=_figures(suite.measures, [item for item in suite.items if item.id in rows], rows),
            by_group={group: _figures(shown, items, rows) for group, items in members.items()} if len(groups) > 1 else {},
        )
    return found


def _lacks(answer: ScoredAnswer, suite: Suite) -> bool:
    """Whether a value that a measure shows is missing."""
    wanted = {name for measure in suite.measures for name in ([used for used, _, _ in measure.uses] or [measure.name])}
    return any(name in answer.values and answer.values[name] is None for name in wanted)


def _by_item(answers: Sequence[ScoredAnswer]) -> dict[str, dict[str, float | None]]:
    """The mean of each item's samples, by name; None if no sample has a value."""
    samples: dict[str, dict[str, list[float]]] = {}
    for answer in answers:
        own = samples.setdefault(answer.id, {})
        for name, value in answer.values.items():
            own.setdefault(name, []).extend([] if value is None else [value])
    return {key: {name: fmean(found) if found else None for name, found in own.items()} for key, own in samples.items()}


def _figures(shown: Sequence[Measure], items: Sequence[Item], rows: Mapping[str, Values]) -> dict[str, BenchmarkFigure]:
    own = [rows[item.id] for item in items]
    clusters = [item.cluster or item.id for item in items]
    found = {measure.name: (_combined(measure, own) if measure.of else _mean(measure, own, clusters)) for measure in shown}
    return {name: figure for name, figure in found.items() if figure.value is not None or figure.unscored}  # the others were not asked for


def _combined(measure: Measure, rows: Sequence[Values]) -> BenchmarkFigure:
    """A figure that is no mean over items."""
    assert measure.of
    missing = sum(any(name in row and row[name] is None for name, _, _ in measure.uses) for row in rows)
    value = measure.of(rows)
    if value is None or not missing:
        return BenchmarkFigure(value=value, items=len(rows) - missing, unscored=missing)
    low, high = (measure.of([_filled(row, measure, end) for row in rows]) for end in (1, 2))
    bounds = Interval(low=low, high=high) if low is not None and high is not None else None
    return BenchmarkFigure(value=value, items=len(rows) - missing, unscored=missing, bounds=bounds)


def _filled(row: Values, measure: Measure, end: int) -> Values:
    return {**row, **{used[0]: float(used[end]) for used in measure.uses if used[0] in row and row[used[0]] is None}}


def _mean(measure: Measure, rows: Sequence[Values], clusters: Sequence[str]) -> BenchmarkFigure:
    known = [(value, cluster) for row, cluster in zip(rows, clusters, strict=True) if (value := row.get(measure.name)) is not None]
    missing, values = sum(measure.name in row for row in rows) - len(known), [value for value, _ in known]
    if not values:
        return BenchmarkFigure(value=None, items=0, unscored=missing)
    total, every = sum(values), len(values) + missing
    bounds = Interval(low=(total + missing * measure.low) / every, high=(total + missing * measure.high) / every) if missing else None
    interval = _interval(measure, values, [cluster for _, cluster in known])
    return BenchmarkFigure(value=fmean(values), items=len(known), unscored=missing, interval=interval, bounds=bounds)


def _interval(measure: Measure, values: Sequence[float], clusters: Sequence[str]) -> Interval | None:
    """The interval of a mean of bounded values, computed on a scale from 0 to 100."""
    span = measure.high - measure.low
    scaled = [100 * (value - measure.low) / span for value in values]
    found = intervals(scaled, [None] * len(scaled), clusters).s_l
    return found and Interval(low=measure.low + found.low * span / 100, high=measure.low + found.high * span / 100)
