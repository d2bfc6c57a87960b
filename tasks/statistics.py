"""Intervals of mean scores and tests of paired differences, over clusters: prompts, or topics where several prompts share one.

Means. A score lies between 0 and 100, and a few items, or items at the floor, say little about what the next item will be. The
interval is Gaffke's for the mean of a bounded variable (Gaffke 2005, "Three test statistics for a nonparametric one-sided
hypothesis on the mean of a nonnegative variable"; Learned-Miller and Thomas 2019, "A New Confidence Interval for the Mean of a Bounded
Random Variable"): quantiles of the mean under random Dirichlet weights, with one more item at the lowest score for the lower end and
at the highest for the upper end. For scores of 0 and 100 it is the interval of Clopper and Pearson; of 26 zeros it is about [0, 13],
where a bootstrap says [0, 0]. With many items it is the bootstrap's interval.

Differences. If it made no difference which of two models gave which answer, each cluster's difference could as well have the other
sign (Fisher 1935; Dror et al. 2018, "The Hitchhiker's Guide to Testing Statistical Significance in NLP"). The interval is this
test turned round: quantiles of the means over random subsets of the clusters (Hartigan 1969, "Using subsample values as typical
values").

Answers to one prompt, and prompts of one topic, rise and fall together: counted one by one they would pass for more evidence than
they are. So clusters are weighted and flipped as wholes. S_l and S_q of a cluster stay together, so that S̄'s interval knows how they
move with each other. scipy has neither interval.
"""

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.schema.records import Record

RESAMPLES = 9_999
LEVEL = 0.95
LOWEST, HIGHEST = 0.0, 100.0  # of a score
FEWEST = 6  # clusters from which a sign-flip test can tell a difference: of five, two in 32 ways agree by chance
SEED = 20_408  # one for all groups: the same items give the same interval, in every group
_AT_ONCE = 1_000  # clusters; more of them are drawn in this many groups, taken at random
_EXACT = 13  # clusters up to which all ways to flip their signs are tried

Numbers = NDArray[np.float64]


class Interval(Record):
    """Of a mean, or of a difference of means, at 95%."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"[{self.low:.1f}, {self.high:.1f}]"


class Means(NamedTuple):
    """One interval for each of the three scores; None where too few clusters have that score."""

    s_l: Interval | None
    s_q: Interval | None
    s_bar: Interval | None


class Tested(NamedTuple):
    """The mean of paired differences against 0."""

    p: float  # two-sided
    interval: Interval | None  # None: fewer than `FEWEST` clusters, or no difference anywhere


class Differences(NamedTuple):
    """None where nothing is scored on both sides."""

    s_l: Tested
    s_q: Tested | None
    s_bar: Tested | None


def wilson(count: int, of: int) -> Interval | None:
    """Wilson's 95% interval of the share `count` / `of`, 0 to 1; None of nothing."""
    if not of:
        return None
    from scipy.stats import binomtest

    found = binomtest(count, of).proportion_ci(LEVEL, method="wilson")
    return Interval(low=float(found.low), high=float(found.high))


def intervals(s_l: Sequence[float], s_q: Sequence[float | None], clusters: Sequence[Hashable] | None = None) -> Means:
    """Intervals of the means of S_l (all items), S_q (the scored ones) and S̄ (the mean of both means), scores from 0 to 100.

    `clusters` says which cluster each item belongs to; None: each is one of its own. None for fewer than two clusters, and for S_q
    and S̄ for fewer than two with a scored item. Deterministic.
    """
    sums = _sums(s_l, s_q, clusters)
    scored = int((sums[:, 3] > 0).sum())
    if len(sums) < 2:
        return Means(None, None, None)
    low, high = _weighted(sums, LOWEST, HIGHEST)
    found = [_between(low[place], high[place]) for place in range(3)] if scored >= 2 else [_between(low[0], high[0]), None, None]
    return Means(*found)


def share(hits: Sequence[float], of: Sequence[float]) -> Interval | None:
    """Interval of the share Σ hits / Σ of, 0 to 1, where each place is a cluster; None for fewer than two clusters that count."""
    counted = np.asarray([(hit, number, 0.0, 0.0) for hit, number in zip(hits, of, strict=True) if number], float).reshape(-1, 4)
    sums = _grouped(counted)
    if len(sums) < 2:
        return None
    low, high = _weighted(sums, 0.0, 1.0)
    return _between(low[0], high[0])


def paired(s_l: Sequence[float], s_q: Sequence[float | None], clusters: Sequence[Hashable] | None = None) -> Differences:
    """The sign-flip test of the means of paired differences (S_l, S_q, S̄), with the interval that it leaves.

    A cluster's differences change their signs together, and an interval leaves 0 out only where the test tells a difference. Holds its
    level for few clusters too: of five none has p under 0.06. Exact up to 13 clusters, by 9,999 random flips beyond.
    """
    sums = _sums(s_l, s_q, clusters)
    length = _tested(sums[:, [0]], sums[:, [1]])
    if not sums[:, 3].any():
        return Differences(length, None, None)
    scored = sums[sums[:, 3] > 0]
    return Differences(length, _tested(scored[:, [2]], scored[:, [3]]), _tested(sums[:, [0, 2]], sums[:, [1, 3]]))


def sign_test(nets: Sequence[int]) -> float:
    """Two-sided p of a sum of whole numbers against 0, if each could as well have the other sign. Exact; 1 of nothing.

    Of ones it is the sign test, which is the binomial test of a share of one half.
    """
    sizes = [abs(net) for net in nets if net]
    ways = np.ones(1)  # of each sum from -total to total
    for size in sizes:
        grown = np.zeros(len(ways) + 2 * size)
        grown[: len(ways)] += ways / 2
        grown[2 * size :] += ways / 2
        ways = grown
    total = sum(sizes)
    beyond = np.abs(np.arange(-total, total + 1)) >= abs(sum(nets))
    return min(1.0, float(ways[beyond].sum()))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979): at most `alpha` of chance that any of these tests below `alpha` is a false alarm."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = highest
    return adjusted


def _sums(s_l: Sequence[float], s_q: Sequence[float | None], clusters: Sequence[Hashable] | None) -> Numbers:
    """(clusters, 4): the sum of S_l, the number of items, the sum of S_q and the number of scored items of each cluster."""
    quality = np.asarray([np.nan if value is None else value for value in s_q], float)
    scored = np.isfinite(quality)
    rows = np.column_stack([np.asarray(s_l, float), np.ones(len(quality)), np.where(scored, quality, 0.0), scored])
    return _grouped(rows if clusters is None else _added(rows, _places(clusters)))


def _places(clusters: Sequence[Hashable]) -> NDArray[np.int64]:
    known: dict[Hashable, int] = {}
    return np.asarray([known.setdefault(cluster, len(known)) for cluster in clusters], np.int64)


def _added(rows: Numbers, places: NDArray[np.int64]) -> Numbers:
    found = np.zeros((int(places.max(initial=-1)) + 1, rows.shape[1]))
    np.add.at(found, places, rows)
    return found


def _grouped(sums: Numbers) -> Numbers:
    """At most `_AT_ONCE` rows. Clusters that are taken together at random are as good as one: only the draws become fewer."""
    if len(sums) <= _AT_ONCE:
        return sums
    return _added(sums, np.random.default_rng(SEED).permutation(len(sums)) % _AT_ONCE)


@lru_cache(maxsize=1)  # paper and fixed mode draw for the same number of clusters one after the other
def _exponentials(number: int) -> Numbers:
    """(draws, number): over their sum they are weights from the flat Dirichlet distribution."""
    return np.random.default_rng(SEED).exponential(size=(RESAMPLES, number))


def _weighted(sums: Numbers, lowest: float, highest: float) -> Numbers:
    """(2, 3, draws): S_l, S_q and S̄ under random weights, with one more cluster of the mean size that scores `lowest`, or `highest`."""
    scored = sums[sums[:, 3] > 0, 3]
    one, judged = sums[:, 1].mean(), scored.mean() if len(scored) else 1.0
    drawn = _exponentials(len(sums) + 1)
    totals = drawn @ np.vstack([sums, [0.0, one, 0.0, judged]])
    found = []
    for extreme in (lowest, highest):
        length = (totals[:, 0] + drawn[:, -1] * one * extreme) / totals[:, 1]
        quality = (totals[:, 2] + drawn[:, -1] * judged * extreme) / totals[:, 3]
        found.append([length, quality, (length + quality) / 2])
    return np.asarray(found)


def _between(low: Numbers, high: Numbers) -> Interval:
    return Interval(low=float(np.quantile(low, (1 - LEVEL) / 2)), high=float(np.quantile(high, (1 + LEVEL) / 2)))


@lru_cache(maxsize=1)
def _signs(number: int) -> Numbers:
    """(flips, number) of 1 and -1: all ways for few; for many random ones, each with its opposite, and the one of all ones."""
    if number <= _EXACT:
        ways = np.arange(2**number)[:, None] >> np.arange(number)
        return np.where(ways & 1, -1.0, 1.0)
    drawn = np.random.default_rng(SEED).integers(0, 2, size=(RESAMPLES // 2, number), dtype=np.int8)
    half = np.concatenate([np.ones((1, number)), 1.0 - 2.0 * drawn])
    return np.concatenate([half, -half])


def _tested(sums: Numbers, sizes: Numbers) -> Tested:
    """(clusters, measures) of the sums of differences and of the numbers of pairs: of the mean over measures of Σ sums / Σ sizes."""
    signs = _signs(len(sums))
    parts = (sums / sizes.sum(axis=0)).mean(axis=1)
    p = float((np.abs(signs @ parts) >= abs(parts.sum()) - 1e-9).mean())
    return Tested(p, _subsets(signs, sums, sizes) if len(sums) >= FEWEST and sums.any() else None)


def _subsets(signs: Numbers, sums: Numbers, sizes: Numbers) -> Interval:
    """From the means over the subsets that the positive signs pick."""
    taken = (signs + 1) / 2
    numbers = taken @ sizes
    whole = (numbers > 0).all(axis=1)
    means = np.sort(((taken @ sums)[whole] / numbers[whole]).mean(axis=1))
    skipped = max(0, int((1 - LEVEL) / 2 * (len(means) + 1)) - 1)
    return Interval(low=float(means[skipped]), high=float(means[-1 - skipped]))
