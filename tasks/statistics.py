"""Confidence intervals of mean scores and tests of paired differences, over clusters: prompts, or topics that several prompts share.

Means. Scores are between 0 and 100; a few items, or items at the floor, say little about the next item. The interval is Gaffke's for the
mean of a bounded variable (Gaffke 2005, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative
variable"; Learned-Miller and Thomas 2019, "A New Confidence Interval for the Mean of a Bounded Random Variable"): quantiles of the mean
under random Dirichlet weights, with one extra item at the lowest score for the lower end and at the highest for the upper end. For
scores of only 0 and 100 it equals the interval of Clopper and Pearson; for 26 zeros it is about [0, 13], where a bootstrap gives [0, 0].
With many items it approaches the bootstrap's interval.

Differences. The test is a sign-flip (permutation) test: under the null hypothesis each cluster's difference is equally likely to have the
other sign (Fisher 1935; Dror et al. 2018, "The Hitchhiker's Guide to Testing Statistical Significance in NLP"). The interval inverts this
test: quantiles of the means over random subsets of the clusters (Hartigan 1969, "Using subsample values as typical values").

Answers to one prompt, and prompts of one topic, are correlated; counted separately they would seem more evidence than they are. So
whole clusters are weighted and flipped. S_l and S_q of a cluster stay together, so that the interval of S̄ includes their correlation.
scipy has neither interval.
"""

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.schema.records import Record

RESAMPLES = 9_999
LEVEL = 0.95
LOWEST, HIGHEST = 0.0, 100.0  # range of a score
FEWEST = 6  # clusters that a sign-flip test needs for p < 0.05; with five the smallest p is 2/32
SEED = 20_408  # the same for all groups, so that the same items give the same interval in every group
_AT_ONCE = 1_000  # clusters; more than that are merged at random into this many
_EXACT = 13  # clusters up to which all sign flips are enumerated

Numbers = NDArray[np.float64]


class Interval(Record):
    """95% confidence interval of a mean, a share or a difference of means."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"[{self.low:.1f}, {self.high:.1f}]"


class Means(NamedTuple):
    """Intervals of the three scores; None if too few clusters have that score."""

    s_l: Interval | None
    s_q: Interval | None
    s_bar: Interval | None


class Tested(NamedTuple):
    """Test of the mean of paired differences against 0."""

    p: float  # two-sided
    interval: Interval | None  # None: fewer than FEWEST clusters, or all differences are 0


class Differences(NamedTuple):
    """Tests of the three scores; None if no item is scored on both sides."""

    s_l: Tested
    s_q: Tested | None
    s_bar: Tested | None


def wilson(count: int, of: int) -> Interval | None:
    """Wilson's 95% interval of the share `count` / `of`, 0 to 1; None if `of` is 0."""
    if not of:
        return None
    from scipy.stats import binomtest

    found = binomtest(count, of).proportion_ci(LEVEL, method="wilson")
    return Interval(low=float(found.low), high=float(found.high))


def intervals(s_l: Sequence[float], s_q: Sequence[float | None], clusters: Sequence[Hashable] | None = None) -> Means:
    """Intervals of the means of S_l (all items), S_q (scored items) and S̄ (the mean of both means). Scores are 0 to 100. Deterministic.

    `clusters` is the cluster of each item; by default each item is its own cluster. An interval is None for fewer than two clusters, and
    for S_q and S̄ also for fewer than two clusters with a scored item.
    """
    sums = _sums(s_l, s_q, clusters)
    scored = int((sums[:, 3] > 0).sum())
    if len(sums) < 2:
        return Means(None, None, None)
    low, high = _weighted(sums, LOWEST, HIGHEST)
    found = [_between(low[place], high[place]) for place in range(3)] if scored >= 2 else [_between(low[0], high[0]), None, None]
    return Means(*found)


def share(hits: Sequence[float], of: Sequence[float]) -> Interval | None:
    """Interval of the share Σ hits / Σ of, 0 to 1; each position is a cluster. None for fewer than two clusters with `of` over 0."""
    counted = np.asarray([(hit, number, 0.0, 0.0) for hit, number in zip(hits, of, strict=True) if number], float).reshape(-1, 4)
    sums = _grouped(counted)
    if len(sums) < 2:
        return None
    low, high = _weighted(sums, 0.0, 1.0)
    return _between(low[0], high[0])


def bounded(values: Sequence[float], lowest: float, highest: float, clusters: Sequence[Hashable] | None = None) -> Interval | None:
    """Gaffke's interval of the mean of values between `lowest` and `highest`. None for fewer than two clusters. Deterministic."""
    sums = _sums(values, [None] * len(values), clusters)
    if len(sums) < 2:
        return None
    low, high = _weighted(sums, lowest, highest)
    return _between(low[0], high[0])


def bootstrap(values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> Interval | None:
    """Bootstrap interval of the mean of values without known bounds, with random Dirichlet weights over the clusters (Rubin 1981).

    None for fewer than two clusters. Deterministic. Too narrow for few clusters: use `bounded` where the values have bounds.
    """
    sums = _sums(values, [None] * len(values), clusters)
    if len(sums) < 2:
        return None
    totals = _exponentials(len(sums)) @ sums
    means = totals[:, 0] / totals[:, 1]
    return _between(means, means)


def hull(found: Sequence[Interval]) -> Interval:
    """The smallest interval that contains all of these."""
    return Interval(low=min(one.low for one in found), high=max(one.high for one in found))


def paired(s_l: Sequence[float], s_q: Sequence[float | None], clusters: Sequence[Hashable] | None = None) -> Differences:
    """Sign-flip tests of the means of paired differences (S_l, S_q, S̄, in points), with their intervals.

    All differences of a cluster change sign together. The significance level is also correct for few clusters; with five, the smallest
    possible p is 0.06. Exact up to 13 clusters; with more, it uses 9,999 random flips.
    """
    sums = _sums(s_l, s_q, clusters)
    length = _tested(sums[:, [0]], sums[:, [1]])
    if not sums[:, 3].any():
        return Differences(length, None, None)
    scored = sums[sums[:, 3] > 0]
    return Differences(length, _tested(scored[:, [2]], scored[:, [3]]), _tested(sums[:, [0, 2]], sums[:, [1, 3]]))


def sign_test(nets: Sequence[int]) -> float:
    """Exact two-sided p of a sum of whole numbers against 0, under random signs; 1 for an empty list.

    If all numbers are 1 or -1, it is the sign test, the binomial test of a share of one half.
    """
    sizes = [abs(net) for net in nets if net]
    ways = np.ones(1)  # probability of each sum from -total to total
    for size in sizes:
        grown = np.zeros(len(ways) + 2 * size)
        grown[: len(ways)] += ways / 2
        grown[2 * size :] += ways / 2
        ways = grown
    total = sum(sizes)
    beyond = np.abs(np.arange(-total, total + 1)) >= abs(sum(nets))
    return min(1.0, float(ways[beyond].sum()))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values (Holm 1979): the chance of any false positive below `alpha` is at most `alpha`."""
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
    """At most `_AT_ONCE` rows: clusters are merged at random, which keeps the interval valid and needs fewer draws."""
    if len(sums) <= _AT_ONCE:
        return sums
    return _added(sums, np.random.default_rng(SEED).permutation(len(sums)) % _AT_ONCE)


@lru_cache(maxsize=1)  # paper and fixed mode need the same draws
def _exponentials(number: int) -> Numbers:
    """Exponential draws, shape (draws, number). Divided by their sum they are weights of a flat Dirichlet distribution."""
    return np.random.default_rng(SEED).exponential(size=(RESAMPLES, number))


def _weighted(sums: Numbers, lowest: float, highest: float) -> Numbers:
    """S_l, S_q and S̄ under random weights, shape (2, 3, draws), with one extra cluster of mean size that scores `lowest` or `highest`."""
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
    """Signs 1 and -1, shape (flips, number): all combinations up to _EXACT; else all ones and random flips, each with its opposite."""
    if number <= _EXACT:
        ways = np.arange(2**number)[:, None] >> np.arange(number)
        return np.where(ways & 1, -1.0, 1.0)
    drawn = np.random.default_rng(SEED).integers(0, 2, size=(RESAMPLES // 2, number), dtype=np.int8)
    half = np.concatenate([np.ones((1, number)), 1.0 - 2.0 * drawn])
    return np.concatenate([half, -half])


def _tested(sums: Numbers, sizes: Numbers) -> Tested:
    """Test the mean over measures of Σ sums / Σ sizes. Both arguments have the shape (clusters, measures): sums of differences, pairs."""
    signs = _signs(len(sums))
    parts = (sums / sizes.sum(axis=0)).mean(axis=1)
    p = float((np.abs(signs @ parts) >= abs(parts.sum()) - 1e-9).mean())
    return Tested(p, _subsets(signs, sums, sizes) if len(sums) >= FEWEST and sums.any() else None)


def _subsets(signs: Numbers, sums: Numbers, sizes: Numbers) -> Interval:
    """The interval from the means over the subsets of clusters with a positive sign."""
    taken = (signs + 1) / 2
    numbers = taken @ sizes
    whole = (numbers > 0).all(axis=1)
    means = np.sort(((taken @ sums)[whole] / numbers[whole]).mean(axis=1))
    skipped = max(0, int((1 - LEVEL) / 2 * (len(means) + 1)) - 1)
    return Interval(low=float(means[skipped]), high=float(means[-1 - skipped]))
