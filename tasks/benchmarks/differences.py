"""Compares two models on a benchmark that is a plug-in: paired by item, with sign-flip tests and 95% intervals.

Figures of different judges are compared only with a note that says so. The larger value is the better one, except for deviations.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Literal, NamedTuple

from tasks import store
from tasks.benchmarks.results import AllScores, BenchmarkScores, ScoredAnswer
from tasks.schema.errors import BadInput
from tasks.schema.records import Record
from tasks.statistics import Interval, paired

SCORES, ITEMS = "scores.json", "items.jsonl"
SMALLER_IS_BETTER = ("length_deviation",)
LEVEL = 0.05


class BenchmarkDifference(Record):
    """One measure: the mean over the items that both models have."""

    measure: str
    items: int  # with a value on both sides
    unscored: int  # items of both sides without a value on one of them
    a: float
    b: float
    difference: float  # a minus b
    interval: Interval | None  # 95%; None: too few items, or all differences are 0
    p: float
    verdict: Literal["better", "worse", "cannot tell"]


class BenchmarkComparison(Record):
    """Two models on one benchmark."""

    benchmark: str
    a: str
    b: str
    rows: tuple[BenchmarkDifference, ...]  # the headline first
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The verdict on the headline; "cannot tell" if it has none."""
        return self.rows[0].verdict if self.rows else "cannot tell"


class BenchmarkSide(NamedTuple):
    """One model's result in a folder."""

    model: str
    scores: BenchmarkScores
    values: Mapping[str, Mapping[str, float | None]]  # by item, samples averaged
    clusters: Mapping[str, str]


def has_scores(side: str) -> bool:
    """Whether a side, a folder with or without `:MODEL`, is the result of a plug-in."""
    return (_split(side)[0] / SCORES).is_file()


def compare_benchmarks(a: str, b: str) -> BenchmarkComparison:
    """Compares two results, each a folder of `longwriter eval run` or `score --out`, with `:MODEL` if it has several models.

    Raises BadInput for results of different benchmarks, and if they have no item in common.
    """
    first, second = _side(a), _side(b)
    if (first.scores.benchmark, first.scores.revision) != (second.scores.benchmark, second.scores.revision):
        problem = f"{first.scores.benchmark} against {second.scores.benchmark}, or another revision of its files"
        raise BadInput(b, problem, fix="compare results of one benchmark at one revision")
    common = [item for item in first.values if item in second.values]
    if not common:
        raise BadInput(b, "answers no item that A answers", fix="compare results of the same items")
    notes = list[str]()
    if first.scores.judge != second.scores.judge:
        notes.append(
            f"different judges: {first.scores.judge or 'none'} and {second.scores.judge or 'none'}; their grades are not comparable"
        )
    for name, side in (("A", first), ("B", second)):
        if alone := len(side.values) - len(common):
            notes.append(f"{alone} items only in {name}, not compared")
    headline = first.scores.headline
    measures = sorted(first.scores.figures, key=lambda name: name != headline)
    found = (_difference(measure, first, second, common) for measure in measures)
    return BenchmarkComparison(
        benchmark=first.scores.benchmark, a=first.model, b=second.model, rows=tuple(row for row in found if row), notes=tuple(notes)
    )


def _difference(measure: str, first: BenchmarkSide, second: BenchmarkSide, common: list[str]) -> BenchmarkDifference | None:
    """None for a measure that is no value of single items."""
    own = [item for item in common if measure in first.values[item] and measure in second.values[item]]
    pairs = [
        (item, x, y) for item in own if (x := first.values[item][measure]) is not None and (y := second.values[item][measure]) is not None
    ]
    if not pairs:
        return None
    clusters = [first.clusters[item] for item, _, _ in pairs]
    tested = paired([x - y for _, x, y in pairs], [None] * len(pairs), clusters).s_l
    a, b = fmean(x for _, x, _ in pairs), fmean(y for _, _, y in pairs)
    higher = (a > b) is (measure not in SMALLER_IS_BETTER)
    verdict: Literal["better", "worse", "cannot tell"] = "cannot tell" if tested.p >= LEVEL else "better" if higher else "worse"
    return BenchmarkDifference(
        measure=measure,
        items=len(pairs),
        unscored=len(own) - len(pairs),
        a=a,
        b=b,
        difference=a - b,
        interval=tested.interval,
        p=tested.p,
        verdict=verdict,
    )


def _split(side: str) -> tuple[Path, str]:
    """Folder and model. A folder with a colon in its name is found first."""
    if Path(side).exists() or ":" not in side:
        return Path(side), ""
    folder, _, model = side.rpartition(":")
    return Path(folder), model


def _side(side: str) -> BenchmarkSide:
    folder, model = _split(side)
    if not (folder / SCORES).is_file():
        raise BadInput(folder, f"no {SCORES} in it, which the other side has", fix="compare results of one benchmark")
    models = store.read_document(folder / SCORES, AllScores, fix="score the answers again").root
    if not model and len(models) > 1:
        raise BadInput(folder, f"results of {len(models)} models", fix=f"name one: {folder}:{next(iter(models))}")
    model = model or next(iter(models), "")
    if model not in models:
        raise BadInput(folder, f"no result of {model}", fix=f"use one of {', '.join(models)}")
    samples: dict[str, dict[str, list[float | None]]] = {}
    clusters: dict[str, str] = {}
    for answer in store.read(folder / ITEMS, ScoredAnswer):
        if answer.model == model:
            clusters[answer.id] = answer.cluster or answer.id
            for name, value in answer.values.items():
                samples.setdefault(answer.id, {}).setdefault(name, []).append(value)
    return BenchmarkSide(model, models[model], {item: _means(own) for item, own in samples.items()}, clusters)


def _means(own: Mapping[str, list[float | None]]) -> dict[str, float | None]:
    known = {name: [value for value in values if value is not None] for name, values in own.items()}
    return {name: fmean(values) if values else None for name, values in known.items()}
