"""Measure the length bias of preference pairs, by requested length: how often the longer answer is chosen, and the mean margins.

DPO learns a preference for longer answers easily, and then answers exceed the requested length. S_l counteracts it, because it falls
for an answer over the requested length. The judge is told not to grade length; its own bias is measured separately (`longer_better`).
"""

from collections.abc import Iterable, Sequence
from statistics import mean
from typing import NamedTuple

from tasks.longbench.scorecard import BINS, OVER, bin_of
from tasks.schema.records import Pair, Record
from tasks.statistics import Interval, wilson


class Margins(Record):
    """Means of chosen minus rejected over a group of pairs. Shares count only pairs with two different lengths."""

    pairs: int
    longer_chosen: float | None  # share of pairs in which the longer answer was chosen; 0.5: no bias. None: all lengths are equal
    longer_chosen_interval: Interval | None  # 95%, Wilson's
    longer_better: float | None  # the judge's bias: share in which the longer answer has the better S_q, among pairs with different S_q
    words: float
    s_l: float  # points of S_l, 0 to 100
    s_q: float | None  # points of S_q, 0 to 100; None: no judge scored them
    score: float | None  # points of S̄ = (S_l + S_q) / 2


class LengthBias(Record):
    overall: Margins | None  # None: no pair
    by_bin: dict[str, Margins]  # by bin of the requested length


def length_bias(pairs: Iterable[Pair]) -> LengthBias:
    """The figures of all pairs that ask for a length and have both scores; without a judge, of all pairs that ask for a length."""
    gaps = [gap for gap in map(_gap, pairs) if gap]
    gaps = [gap for gap in gaps if gap.s_q is not None] or gaps
    found: dict[str, list[_Gap]] = {}
    for gap in gaps:
        found.setdefault(bin_of(gap.asked), []).append(gap)
    order = [*(name for _, name in BINS), OVER]
    by_bin = {name: _margins(found[name]) for name in sorted(found, key=order.index)}
    return LengthBias(overall=_margins(gaps) if gaps else None, by_bin=by_bin)


class _Gap(NamedTuple):
    """One pair, chosen minus rejected."""

    asked: int
    words: int
    s_l: float
    s_q: float | None


def _gap(pair: Pair) -> _Gap | None:
    chosen, rejected = pair.chosen, pair.rejected
    if pair.asked is None or chosen.s_l is None or rejected.s_l is None:
        return None
    quality = None if chosen.s_q is None or rejected.s_q is None else chosen.s_q - rejected.s_q
    return _Gap(pair.asked, chosen.words - rejected.words, chosen.s_l - rejected.s_l, quality)


def _margins(gaps: Sequence[_Gap]) -> Margins:
    longer = [gap.words > 0 for gap in gaps if gap.words]
    better = [(gap.words > 0) == (gap.s_q > 0) for gap in gaps if gap.words and gap.s_q]
    scored = [gap.s_q for gap in gaps if gap.s_q is not None]
    length, quality = mean(gap.s_l for gap in gaps), mean(scored) if scored else None
    return Margins(
        pairs=len(gaps),
        longer_chosen=mean(longer) if longer else None,
        longer_chosen_interval=wilson(sum(longer), len(longer)),
        longer_better=mean(better) if better else None,
        words=mean(gap.words for gap in gaps),
        s_l=length,
        s_q=quality,
        score=None if quality is None else (length + quality) / 2,
    )
