"""How steady the lengths of several answers to one prompt are: LSD, LVC and MLA (VOLTBench, arXiv 2605.01357).

For the answers to one prompt: LSD is the standard deviation of their lengths in words (of the population), LVC is LSD ÷ mean length, and
MLA is 100 · max(0, 1 − |mean length − requested length| ÷ requested length). Each figure is the mean over the prompts with two or more
answers. Prompts of one topic are one cluster of the intervals, as everywhere.

The intervals of LVC and MLA are those of bounded means (statistics.py): with n answers LVC is at most √(n − 1). LSD has no bound, and its
interval is a bootstrap's.
"""

from collections.abc import Iterable, Sequence
from math import sqrt
from statistics import fmean, pstdev
from typing import Literal, NamedTuple

from tasks.longbench.samples import Mode
from tasks.longbench.scorecard import Steadiness
from tasks.schema.records import Record, ScoredItem
from tasks.statistics import LEVEL, Interval, bootstrap, bounded, paired

SteadinessMeasure = Literal["lsd", "lvc", "mla"]
LOWER_IS_BETTER: tuple[SteadinessMeasure, ...] = ("lsd", "lvc")


class SteadinessDifference(Record):
    """One measure of steadiness, A minus B, over the prompts to which both sides have several answers."""

    measure: SteadinessMeasure
    prompts: int
    a: float  # LSD in words, LVC as a share, MLA from 0 to 100
    b: float
    difference: float
    interval: Interval | None  # of the difference, at 95%; None: too few topics, or no difference anywhere
    p: float  # two-sided sign-flip test
    verdict: Literal["better", "worse", "cannot tell"]  # better: A is steadier, or nearer to the requested length


class PromptLengths(NamedTuple):
    """The lengths of the answers to one prompt, in words and in the order of their sample index."""

    id: str
    asked: int
    cluster: str
    words: tuple[int, ...]

    @property
    def lsd(self) -> float:
        return pstdev(self.words)

    @property
    def lvc(self) -> float | None:
        """None if all answers are empty."""
        mean = fmean(self.words)
        return self.lsd / mean if mean else None

    @property
    def mla(self) -> float:
        return 100 * max(0.0, 1 - abs(fmean(self.words) - self.asked) / self.asked)

    def first(self, number: int) -> "PromptLengths":
        """The same prompt with its first answers only."""
        return self._replace(words=self.words[:number])


def prompt_lengths(items: Iterable[ScoredItem], *, mode: Mode | None = None) -> list[PromptLengths]:
    """The lengths by prompt, in order of first occurrence; prompts with one answer are left out.

    `mode` selects the word count. None: that of fixed mode, or the paper's for an item that was scored without its text.
    """
    answers: dict[str, list[ScoredItem]] = {}
    for item in items:
        answers.setdefault(item.id, []).append(item)
    return [
        PromptLengths(
            own[0].id,
            own[0].asked,
            own[0].topic or f"prompt {own[0].id}",
            tuple(_words(item, mode) for item in sorted(own, key=lambda item: item.sample)),
        )
        for own in answers.values()
        if len(own) > 1
    ]


def steadiness(items: Iterable[ScoredItem]) -> Steadiness | None:
    """The figures of one model's items with their intervals; None if no prompt has two answers."""
    prompts = prompt_lengths(items)
    if not prompts:
        return None
    clusters = [prompt.cluster for prompt in prompts]
    varying = [(prompt, lvc) for prompt in prompts if (lvc := prompt.lvc) is not None]
    most = sqrt(max(len(prompt.words) for prompt in prompts) - 1)
    lsd, mla = [prompt.lsd for prompt in prompts], [prompt.mla for prompt in prompts]
    return Steadiness(
        prompts=len(prompts),
        answers=sum(len(prompt.words) for prompt in prompts),
        lsd=fmean(lsd),
        lvc=fmean(lvc for _, lvc in varying) if varying else None,
        mla=fmean(mla),
        lsd_interval=bootstrap(lsd, clusters),
        lvc_interval=bounded([lvc for _, lvc in varying], 0.0, most, [prompt.cluster for prompt, _ in varying]) if varying else None,
        mla_interval=bounded(mla, 0.0, 100.0, clusters),
    )


def steadiness_differences(a: Sequence[ScoredItem], b: Sequence[ScoredItem], *, mode: Mode) -> list[SteadinessDifference]:
    """LVC, LSD and MLA of A minus those of B, prompt by prompt. Empty if no prompt has several answers on both sides.

    Each prompt counts with as many answers as the side with fewer has, because the deviation of few answers is smaller on average.
    """
    theirs = {prompt.id: prompt for prompt in prompt_lengths(b, mode=mode)}
    both = [(own, theirs[own.id]) for own in prompt_lengths(a, mode=mode) if own.id in theirs]
    pairs = [(own.first(len(other.words)), other.first(len(own.words))) for own, other in both]
    found = (_difference(measure, pairs) for measure in ("lvc", "lsd", "mla"))
    return [difference for difference in found if difference]


def _difference(measure: SteadinessMeasure, pairs: Sequence[tuple[PromptLengths, PromptLengths]]) -> SteadinessDifference | None:
    values = [(getattr(one, measure), getattr(other, measure), one.cluster) for one, other in pairs]
    known = [(one, other, cluster) for one, other, cluster in values if one is not None and other is not None]
    if not known:
        return None
    tested = paired([one - other for one, other, _ in known], [None] * len(known), [cluster for *_, cluster in known]).s_l
    a, b = fmean(one for one, *_ in known), fmean(other for _, other, _ in known)
    clear = tested.interval is not None and tested.p <= 1 - LEVEL + 1e-12 and (tested.interval.low > 0 or tested.interval.high < 0)
    better = (a < b) == (measure in LOWER_IS_BETTER)
    return SteadinessDifference(
        measure=measure,
        prompts=len(known),
        a=a,
        b=b,
        difference=a - b,
        interval=tested.interval,
        p=tested.p,
        verdict=("better" if better else "worse") if clear else "cannot tell",
    )


def _words(item: ScoredItem, mode: Mode | None) -> int:
    if mode == "paper" or item.fixed is None:
        return item.written
    if mode == "without_loops" and item.fixed.without_loops is not None:
        return item.fixed.without_loops
    return item.fixed.written
