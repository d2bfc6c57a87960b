"""Reliability of a judge: agreement of its repeats with each other, and with a second judge.

All figures are in points of S_q, 0 to 100, unless stated otherwise; a dimension's grade d counts (d − 1) · 25. An undefined figure, such
as the correlation of constant scores, is None.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import sqrt
from statistics import fmean

from tasks.judging.grades import DIMENSIONS
from tasks.longbench.summary import s_q
from tasks.schema.records import Record, Rubric, Verdict

Grade = Callable[[Rubric], float]  # score of a verdict, 0 to 100
Both = Sequence[tuple[Sequence[Rubric], Sequence[Rubric]]]  # the first and the second judge's verdicts on each answer
_Graded = dict[tuple[str, str, int], list[Rubric]]
Rubrics = Mapping[tuple[str, str, int], Sequence[Rubric]]  # the readable verdicts by answer: item id, model, sample


class Alike(Record):
    """Agreement of the second judge's grades with the first's, on the answers that both graded."""

    bias: float  # mean of second minus first
    mean_absolute: float  # mean of |second − first|
    pearson: float | None
    spearman: float | None
    kappa: float | None  # Cohen's, quadratic weights, grades 1 to 5; each repeat of the first judge against the second


class Agreement(Record):
    """Agreement of the two judges, overall and by dimension."""

    second_judge: str
    answers: int  # graded by both judges
    overall: Alike  # of S_q; its kappa is the mean over the dimensions with a kappa
    by_dimension: dict[str, Alike]
    kappa_pooled: float | None  # over all dimensions together; also high if judges agree only on which dimensions score better


class Reliability(Record):
    """How far the first judge's scores can be trusted."""

    judge: str  # the first judge
    verdicts: int  # of the first judge
    unread: int  # of these, unreadable
    answers: int  # with a readable verdict of the first judge
    repeated: int  # of these, with two or more verdicts; the figures below are over these, None without any
    deviation: float | None  # standard deviation of an answer's S_q between repeats, pooled over answers
    deviation_by_dimension: dict[str, float]  # empty if `deviation` is None
    standard_error: float | None  # of an answer's S_q, the mean over its repeats; root mean square over answers
    identical: float | None  # share of answers with equal grades in all repeats
    icc: float | None  # ICC(1): share of the variance of S_q between answers, not between repeats; may be negative for pure noise
    agreement: Agreement | None  # None: no second judge, or no answer graded by both


def reliability(verdicts: Iterable[Verdict]) -> Reliability:
    """Returns the reliability of the first judge, compared with the second judge. Raises ValueError without a verdict of the first
    judge.
    """
    gathered = Gathered()
    for _ in gathered.passing(verdicts):
        pass
    return gathered.reliability()


class Gathered:
    """Collects grades from verdicts that are read once, for another purpose too. Equal grades are stored once, texts are not kept."""

    def __init__(self) -> None:
        self._names: tuple[dict[str, None], dict[str, None]] = ({}, {})  # of the first and the second judge
        self._graded: tuple[_Graded, _Graded] = ({}, {})
        self._known: dict[tuple[int, ...], Rubric] = {}
        self._verdicts = self._unread = 0

    def passing(self, verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
        """Yields the same verdicts and records the grades of each."""
        for verdict in verdicts:
            self._add(verdict)
            yield verdict

    def _add(self, verdict: Verdict) -> None:
        self._names[verdict.second].setdefault(verdict.judge)
        self._verdicts += not verdict.second
        self._unread += not verdict.second and verdict.rubric is None
        if verdict.rubric:
            grades = tuple(getattr(verdict.rubric, name) for name in DIMENSIONS)
            rubric = self._known.setdefault(grades, verdict.rubric)
            self._graded[verdict.second].setdefault((verdict.id, verdict.model, verdict.sample), []).append(rubric)

    def reliability(self) -> Reliability:
        """Raises ValueError without a verdict of the first judge."""
        if not self._verdicts:
            raise ValueError("no verdict of a first judge")
        names = ["; ".join(found) for found in self._names]
        return _reliability(names, self._graded, verdicts=self._verdicts, unread=self._unread)


def _reliability(names: Sequence[str], graded: "tuple[_Graded, _Graded]", *, verdicts: int, unread: int) -> Reliability:
    first, second = graded
    repeated = [rubrics for rubrics in first.values() if len(rubrics) > 1]
    deviation = _deviation(repeated, s_q)
    return Reliability(
        judge=names[0],
        verdicts=verdicts,
        unread=unread,
        answers=len(first),
        repeated=len(repeated),
        deviation=deviation,
        deviation_by_dimension={name: value for name in DIMENSIONS if (value := _deviation(repeated, _points(name))) is not None},
        standard_error=None if deviation is None else deviation * sqrt(fmean(1 / len(rubrics) for rubrics in repeated)),
        identical=fmean(len(set(rubrics)) == 1 for rubrics in repeated) if repeated else None,
        icc=_icc([[s_q(rubric) for rubric in rubrics] for rubrics in repeated]),
        agreement=_agreement(first, second, names[1]),
    )


def _points(dimension: str) -> Grade:
    return lambda rubric: (getattr(rubric, dimension) - 1) * 25.0


def _deviation(repeated: Sequence[Sequence[Rubric]], grade: Grade) -> float | None:
    """Standard deviation within answers: root of the mean of their variances, weighted by degrees of freedom."""
    if not repeated:
        return None
    squares = sum(_squares(list(map(grade, rubrics))) for rubrics in repeated)
    return sqrt(squares / sum(len(rubrics) - 1 for rubrics in repeated))


def _squares(values: Collection[float]) -> float:
    """The sum of squared deviations from the mean."""
    mean = fmean(values)
    return sum([(value - mean) ** 2 for value in values])


def _icc(groups: Sequence[Sequence[float]]) -> float | None:
    """ICC(1) of a one-way random model with groups of unequal size (Shrout and Fleiss 1979; Donner 1986 for the mean size).

    None for fewer than two groups, and if all values are equal.
    """
    if len(groups) < 2:
        return None
    sizes = [len(group) for group in groups]
    total, overall = sum(sizes), fmean(value for group in groups for value in group)
    between = sum(len(group) * (fmean(group) - overall) ** 2 for group in groups) / (len(groups) - 1)
    within = sum(map(_squares, groups)) / (total - len(groups))
    size = (total - sum(size**2 for size in sizes) / total) / (len(groups) - 1)
    spread = between + (size - 1) * within
    return (between - within) / spread if spread > 1e-9 else None


def _agreement(first: Rubrics, second: Rubrics, judge: str) -> Agreement | None:
    both = [(first[key], second[key]) for key in first if key in second]
    if not both:
        return None
    kappas = {name: _kappa(_grades(both, (name,))) for name in DIMENSIONS}
    known = [kappa for kappa in kappas.values() if kappa is not None]
    return Agreement(
        second_judge=judge,
        answers=len(both),
        overall=_alike(both, s_q, fmean(known) if known else None),
        by_dimension={name: _alike(both, _points(name), kappas[name]) for name in DIMENSIONS},
        kappa_pooled=_kappa(_grades(both, DIMENSIONS)),
    )


def _grades(both: Both, dimensions: Sequence[str]) -> list[tuple[int, int]]:
    return [(getattr(a, name), getattr(b, name)) for ours, theirs in both for a in ours for b in theirs for name in dimensions]


def _alike(both: Both, grade: Grade, kappa: float | None) -> Alike:
    means = [(fmean(map(grade, ours)), fmean(map(grade, theirs))) for ours, theirs in both]
    differences = [their - our for our, their in means]
    pearson, spearman = _correlations(means)
    return Alike(
        bias=fmean(differences),
        mean_absolute=fmean(map(abs, differences)),
        pearson=pearson,
        spearman=spearman,
        kappa=kappa,
    )


def _correlations(means: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    """Pearson's and Spearman's correlation. None for fewer than three answers (two always correlate perfectly) and for constant scores."""
    # Rounded, so that equal means share a rank despite float sums.
    ours, theirs = ([round(pair[place], 9) for pair in means] for place in (0, 1))
    if len(ours) < 3 or len(set(ours)) == 1 or len(set(theirs)) == 1:
        return None, None
    from scipy.stats import pearsonr, spearmanr

    return float(pearsonr(ours, theirs).statistic), float(spearmanr(ours, theirs).statistic)


def _kappa(grades: Sequence[tuple[int, int]]) -> float | None:
    """Cohen's kappa with quadratic weights. None if both judges give the same single grade to everything: chance agreement is undefined."""
    if len({grade for pair in grades for grade in pair}) == 1:
        return None
    import numpy as np

    ours, theirs = np.array(grades, float).T
    by_chance = np.mean(ours**2) + np.mean(theirs**2) - 2 * ours.mean() * theirs.mean()  # of two independent judges with these grades
    return float(1 - np.mean((ours - theirs) ** 2) / by_chance)
