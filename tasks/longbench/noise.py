"""How much of the noise of a comparison comes from the judge and from sampling one answer instead of another.

The interval of a difference is computed from its spread between prompts. That spread contains the judge's noise and the noise of
sampling, so the interval does too. Repeats of the judge and several answers to a prompt show how large these two parts are, and whether
more of them would settle a comparison. The figures are over prompts as if topics were single prompts.
"""

from collections.abc import Sequence
from math import ceil
from statistics import fmean, variance
from typing import Literal, NamedTuple

from tasks.longbench.samples import PromptScores
from tasks.schema.records import Record


class Noise(Record):
    """Shares of the variance of an overall difference, 0 to 1."""

    measure: Literal["s_l", "s_bar"]  # the difference is in this measure
    judge: float | None  # by the judge's repeats; None: not every pair has two verdicts on each answer, or S_q is not in the measure
    answers: float | None  # by sampling the answers, the judge's noise on them included; None: not every pair has several answers
    repeats: int | None  # verdicts on an answer, the fewest of both sides; None: not known
    samples: int  # answers to a prompt, the fewest of both sides


class _Differences(NamedTuple):
    values: list[float]
    judge: list[float | None]  # variance of each difference by the judge
    answers: list[float | None]  # by sampling


def noise_of(pairs: Sequence[tuple[PromptScores, PromptScores]]) -> Noise | None:
    """The parts of the noise in the difference of S̄, or of S_l if no pair is scored on both sides. None for fewer than three pairs, or if
    all differences are equal.
    """
    scored = [(one, other) for one, other in pairs if one.s_q is not None and other.s_q is not None]
    judged = len(scored) > 2
    used = scored if judged else pairs
    found = _Differences(
        [_score(one, judged) - _score(other, judged) for one, other in used],
        [_sum(one.judge_error, other.judge_error) if judged else None for one, other in used],
        [_sum(one.sampling_error(judged), other.sampling_error(judged)) for one, other in used],
    )
    if len(used) < 3 or not (total := variance(found.values)):
        return None
    repeats = [side.verdicts for pair in used for side in pair]
    return Noise(
        measure="s_bar" if judged else "s_l",
        judge=_share(found.judge, total / 0.25) if judged else None,  # the error of S_q is halved in S̄
        answers=_share(found.answers, total),
        repeats=min(repeats) if judged and all(repeats) else None,
        samples=min(side.answers for pair in used for side in pair),
    )


def remedies(noise: Noise, ratio: float) -> str | None:
    """What else than more prompts brings the variance down to 1 ÷ `ratio` of what it is; None if neither part is known."""
    found = []
    for share, number, what in (
        (noise.answers, noise.samples, "answers to each prompt"),
        (noise.judge, noise.repeats, "repeats of the judge"),
    ):
        if share is None or not number:
            continue
        left = 1 / ratio - 1 + share  # what this part may still contribute
        if left > 0:
            found.append(f"about {ceil(number * share / left - 1e-9):,} {what} would do as well")
        else:
            found.append(f"more {what} do not settle it: they cause {share:.0%} of the noise")
    return "; ".join(found) or None


def _score(prompt: PromptScores, judged: bool) -> float:
    length = prompt.s_l or 0.0
    return (length + (prompt.s_q or 0.0)) / 2 if judged else length


def _sum(one: float | None, other: float | None) -> float | None:
    """The variance of a difference of two independent means, from their standard errors."""
    return None if one is None or other is None else one**2 + other**2


def _share(parts: Sequence[float | None], total: float) -> float | None:
    known = [part for part in parts if part is not None]
    return min(1.0, fmean(known) / total) if known and len(known) == len(parts) else None
