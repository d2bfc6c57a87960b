"""95% intervals of S_l, S_q and S̄ by the bootstrap over items, and the sign-flip test for paired differences.

The interval is Efron's BCa (Efron 1987, "Better bootstrap confidence intervals"), as in `scipy.stats.bootstrap`, against which
the tests hold it. It is written out here because scipy cannot leave unscored items out of one mean and keep them in the
other, and takes a second to import. Items are resampled whole: S_l and S_q of one answer stay together, so that S̄'s
interval knows how they move with each other.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.schema.records import Record

RESAMPLES = 9_999
LEVEL = 0.95
SEED = 20_408  # one for all groups: the same items give the same interval, in whatever group they stand
_AT_ONCE = 4_000_000  # draws in memory: 32 MB

Numbers = NDArray[np.float64]


class Interval(Record):
    """Of a mean, or of a difference of means, at 95%."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"[{self.low:.1f}, {self.high:.1f}]"


def wilson(count: int, of: int) -> Interval | None:
    """Wilson's 95% interval of the share `count` / `of`, 0 to 1; None of nothing."""
    if not of:
        return None
    from scipy.stats import binomtest

    found = binomtest(count, of).proportion_ci(LEVEL, method="wilson")
    return Interval(low=float(found.low), high=float(found.high))


class Means(NamedTuple):
    """One figure for each of the three scores; None where no item was scored, or where one item alone has no interval."""

    s_l: Interval | None
    s_q: Interval | None
    s_bar: Interval | None


def intervals(s_l: Sequence[float], s_q: Sequence[float | None]) -> Means:
    """Intervals of the means of S_l (all items), S_q (the scored ones) and S̄ (the mean of both means).

    None for fewer than two items, and for S_q and S̄ for fewer than two scored ones. Resamples in which no item happens to
    be scored have no S_q and are left out. The values may be differences of paired items. Deterministic.
    """
    length, quality = np.asarray(s_l, float), np.asarray([np.nan if value is None else value for value in s_q], float)
    if len(length) < 2:
        return Means(None, None, None)
    judged = int(np.isfinite(quality).sum()) >= 2
    drawn = _resampled(length, quality)
    found, without = _means(length, quality), _leave_one_out(length, quality)
    both = [_bca(drawn[place], float(found[place]), without[place]) for place in (1, 2)] if judged else [None, None]
    return Means(_bca(drawn[0], float(found[0]), without[0]), *both)


def sign_flip(s_l: Sequence[float], s_q: Sequence[float | None]) -> tuple[float, float | None, float | None]:
    """Two-sided p of the means of paired differences (S_l, S_q, S̄), by flipping each item's sign at random.

    If it made no difference which of two models gave which answer, each difference could as well have the other sign (Fisher
    1935; Dror et al. 2018, "The Hitchhiker's Guide to Testing Statistical Significance in NLP"). Holds for few items too, where
    a bootstrap is too sure of itself: of four items none has p under 0.12. None where nothing was scored on both sides.
    """
    length, quality = np.asarray(s_l, float), np.asarray([np.nan if value is None else value for value in s_q], float)
    found = np.abs(_means(length, quality))
    beyond, random = np.zeros(3), np.random.default_rng(SEED)
    for rows in _chunks(len(length)):
        signs = random.choice((-1.0, 1.0), size=(rows, len(length)))
        beyond += (np.abs(_means(signs * length, signs * quality)) >= found[:, None] - 1e-9).sum(axis=-1)
    p = [float(count + 1) / (RESAMPLES + 1) for count in beyond]
    return (p[0], p[1], p[2]) if np.isfinite(quality).any() else (p[0], None, None)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979): at most `alpha` of chance that any of these tests below `alpha` is a false alarm."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = highest
    return adjusted


def _means(length: Numbers, quality: Numbers) -> Numbers:
    """S_l, S_q and S̄ along the last axis, stacked in front; NaN where no item is scored."""
    scored = np.isfinite(quality)
    with np.errstate(invalid="ignore"):
        judged = np.where(scored, quality, 0.0).sum(axis=-1) / scored.sum(axis=-1)
    mean = length.mean(axis=-1)
    return np.stack([mean, judged, (mean + judged) / 2])


def _resampled(length: Numbers, quality: Numbers) -> Numbers:
    random = np.random.default_rng(SEED)
    drawn = [random.integers(len(length), size=(rows, len(length))) for rows in _chunks(len(length))]
    return np.concatenate([_means(length[places], quality[places]) for places in drawn], axis=-1)


def _chunks(width: int) -> list[int]:
    rows = max(1, _AT_ONCE // width)
    return [min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows)]


def _leave_one_out(length: Numbers, quality: Numbers) -> Numbers:
    """The three means without each item in turn, (3, items)."""
    scored = np.isfinite(quality)
    filled = np.where(scored, quality, 0.0)
    with np.errstate(invalid="ignore"):
        judged = (filled.sum() - filled) / (scored.sum() - scored)
    mean = (length.sum() - length) / (len(length) - 1)
    return np.stack([mean, judged, (mean + judged) / 2])


def _bca(drawn: Numbers, found: float, without: Numbers) -> Interval:
    """Bias-corrected and accelerated; where it is not defined (all resamples on one side), the plain percentiles."""
    drawn, normal = drawn[np.isfinite(drawn)], NormalDist()
    levels = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    below = float((drawn < found).mean() + (drawn <= found).mean()) / 2
    centred = without.mean() - without
    spread = float((centred**2).sum())
    if spread > 0 and 0 < below < 1:
        bias, skew = normal.inv_cdf(below), float((centred**3).sum()) / (6 * spread**1.5)
        levels = [normal.cdf(_shifted(bias, normal.inv_cdf(level), skew)) for level in levels]
    low, high = np.quantile(drawn, levels)
    return Interval(low=float(low), high=float(high))


def _shifted(bias: float, point: float, skew: float) -> float:
    return bias + (bias + point) / (1 - skew * (bias + point))
