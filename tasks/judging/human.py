"""Agreement of a judge with the grades of people, from a CSV file with the columns prompt, answer, grade and, if known, dimension.

A row without a dimension grades the whole answer and is compared with S_q. Several grades of one answer and dimension are averaged, each
answer counts once. Intervals are bootstraps over the answers.
"""

import csv
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.judging.exam_card import GradeAgreement, HumanAgreement
from tasks.judging.grades import dimension
from tasks.longbench.summary import s_q
from tasks.schema.errors import BadInput
from tasks.schema.records import Rubric
from tasks.statistics import FEWEST, LEVEL, Interval
from tasks.text.words import count_fixed

OVERALL = "overall"
COLUMNS = ("prompt", "answer", "grade")
RESAMPLES, SEED = 2_000, 20_408
UNDEFINED = 0.05  # most of the resamples in which a figure may be undefined
TERTILES = ("short", "middle", "long")
FIX = "write a CSV file in UTF-8 with the columns prompt, answer, grade and, if known, dimension"
FIELD_MOST = 10_000_000  # characters of a field: csv's own limit of 131,072 is less than a long answer

Numbers = NDArray[np.float64]
_Grades = dict[str, list[tuple[int, float]]]  # by dimension: index of the answer and the people's mean grade


class HumanRow(NamedTuple):
    """An answer with the grades that people gave it."""

    line: int  # of its first grade
    prompt: str
    answer: str
    grades: Mapping[str, float]  # mean by dimension; "overall" without one


def read_human(path: Path) -> list[HumanRow]:
    """Reads the answers of a CSV file with their grades. Raises BadInput with line and column of the first row that does not fit."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    lines: dict[tuple[str, str], int] = {}
    for line, row in _rows(path):
        key = (_text(path, line, row, "prompt"), _text(path, line, row, "answer"))
        lines.setdefault(key, line)
        found.setdefault(key, {}).setdefault(_dimension(path, line, row), []).append(_grade(path, line, row))
    if not found:
        raise BadInput(path, "no row with a grade", fix=FIX)
    return [
        HumanRow(lines[prompt, answer], prompt, answer, {name: fmean(given) for name, given in grades.items()})
        for (prompt, answer), grades in found.items()
    ]


def human_agreement(rows: Sequence[HumanRow], rubrics: Sequence[Rubric | None], *, file: str) -> HumanAgreement:
    """Agreement with the judge's rubrics of the same answers, by dimension and by the tertile of the answers' words."""
    read = [n for n, rubric in enumerate(rubrics) if rubric]
    by_dimension: _Grades = {}
    for n in read:
        for name, grade in rows[n].grades.items():
            by_dimension.setdefault(name, []).append((n, grade))
    order = sorted(read, key=lambda n: count_fixed(rows[n].answer))
    parts = np.array_split(np.asarray(order, int), len(TERTILES))
    overall = {n: fmean(rows[n].grades.values()) for n in read}
    return HumanAgreement(
        file=file,
        rows=len(rows),
        unread=len(rows) - len(read),
        by_dimension={name: _agreement(own, rubrics, name) for name, own in sorted(by_dimension.items())},
        by_length={
            name: _agreement([(int(n), overall[int(n)]) for n in part], rubrics, OVERALL)
            for name, part in zip(TERTILES, parts, strict=True)
        },
    )


def _agreement(own: Sequence[tuple[int, float]], rubrics: Sequence[Rubric | None], name: str) -> GradeAgreement:
    people = np.asarray([grade for _, grade in own], float)
    judge = np.asarray([_score(rubric, name) for n, _ in own if (rubric := rubrics[n])], float)
    graded = name != OVERALL and bool(len(people)) and all(grade.is_integer() and 1 <= grade <= 5 for _, grade in own)
    spearman = _estimated(_spearman, people, judge)
    kappa = _estimated(_kappa, people, judge) if graded else _Estimated(None, None)
    return GradeAgreement(
        answers=len(own),
        spearman=spearman.value,
        spearman_interval=spearman.interval,
        kappa=kappa.value,
        kappa_interval=kappa.interval,
    )


def _score(rubric: Rubric, name: str) -> float:
    return s_q(rubric) if name == OVERALL else float(getattr(rubric, name))


class _Estimated(NamedTuple):
    value: float | None
    interval: Interval | None


def _estimated(statistic: Callable[[Numbers, Numbers], float], people: Numbers, judge: Numbers) -> _Estimated:
    """The statistic with its bootstrap interval. Both are None where it is not defined; no interval for fewer than FEWEST answers."""
    value = statistic(people, judge) if len(people) >= 3 else float("nan")
    if not isfinite(value):
        return _Estimated(None, None)
    if len(people) < FEWEST:
        return _Estimated(value, None)
    from scipy.stats import bootstrap

    with warnings.catch_warnings(action="ignore"):  # of resamples in which the figure is not defined: they are counted below
        found = bootstrap(
            (people, judge),
            statistic,
            n_resamples=RESAMPLES,
            paired=True,
            vectorized=False,
            method="percentile",
            confidence_level=LEVEL,
            rng=np.random.default_rng(SEED),
        )
    drawn = found.bootstrap_distribution[np.isfinite(found.bootstrap_distribution)]
    if len(drawn) < (1 - UNDEFINED) * RESAMPLES:
        return _Estimated(value, None)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return _Estimated(value, Interval(low=float(low), high=float(high)))


def _spearman(people: Numbers, judge: Numbers) -> float:
    """Spearman's correlation; NaN if one side gives one grade to everything."""
    from scipy.stats import rankdata

    mine, theirs = rankdata(np.round(people, 9)), rankdata(np.round(judge, 9))
    spread = mine.std() * theirs.std()
    return float(((mine - mine.mean()) * (theirs - theirs.mean())).mean() / spread) if spread else float("nan")


def _kappa(people: Numbers, judge: Numbers) -> float:
    """Cohen's kappa with quadratic weights; NaN if both give the same single grade to everything.

    With these weights it is 1 − mean (x − y)² ÷ (var x + var y + (mean x − mean y)²).
    """
    chance = people.var() + judge.var() + (people.mean() - judge.mean()) ** 2
    return float(1 - ((people - judge) ** 2).mean() / chance) if chance else float("nan")


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    csv.field_size_limit(FIELD_MOST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = [name.strip().casefold() for name in reader.fieldnames or ()]
            if missing := [name for name in COLUMNS if name not in names]:
                raise BadInput(path, f"no column {missing[0]}", line=1, field=missing[0], fix=FIX)
            reader.fieldnames = names
            for row in reader:
                if None in row:
                    raise BadInput(path, "more fields than the header has", line=reader.line_num, fix="quote fields that have commas")
                yield reader.line_num, row
    except FileNotFoundError:
        raise BadInput(path, "no such file", fix=FIX) from None
    except (UnicodeDecodeError, IsADirectoryError, csv.Error) as error:
        raise BadInput(path, f"not a CSV file in UTF-8: {error}", fix=FIX) from None


def _text(path: Path, line: int, row: Mapping[str, str | None], name: str) -> str:
    if not (value := row.get(name) or "").strip():
        raise BadInput(path, "blank", line=line, field=name, fix="fill it in, or remove the row")
    return value


def _dimension(path: Path, line: int, row: Mapping[str, str | None]) -> str:
    value = (row.get("dimension") or "").strip()
    if not value or value.casefold() in (OVERALL, "all"):
        return OVERALL
    if (name := dimension(value)) is None:
        raise BadInput(
            path, f"no such dimension: {value[:40]!r}", line=line, field="dimension", fix="name one of the six, or leave it empty"
        )
    return name


def _grade(path: Path, line: int, row: Mapping[str, str | None]) -> float:
    value = _text(path, line, row, "grade").strip()
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise BadInput(path, f"not a number: {value[:40]!r}", line=line, field="grade", fix="write a number")
    return number
