"""How long the models of a study write, against the cap on what each was trained on: the figures, the lines through them, their errors."""

import csv
import io
from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from statistics import fmean
from typing import NamedTuple

from tasks.schema.records import Prediction, Record
from tasks.text.counts import count_words

LEVEL = 0.95
CEILING = 0.95  # of the answers: a single longest one grows with the number of answers and with every loop of a small model


class Arm(Record):
    """One model of the study, in words."""

    cap: int  # on its training outputs
    trained: int  # longest training output, at most the cap
    samples: int  # that it was trained on
    answers: int  # on the ruler
    longest: float  # answer of a pass through the ruler, which is the paper's figure: its mean over the passes
    longest_error: float  # its standard error; 0 of a single pass
    ceiling: float  # the length that CEILING of all answers stay within
    ceiling_low: float | None  # its interval at 95%, by the binomial of the order statistics; None: too few answers to have one
    ceiling_high: float | None
    mean: float  # over all answers
    mean_error: float  # its standard error
    at_most: float  # mean of the answers to the longest ask


class Line(Record):
    """words = intercept + slope · cap, least squares over the arms; errors are standard errors, the interval is Student's at 95%."""

    slope: float
    slope_error: float | None  # None: two arms, a line through two points has none
    slope_interval: tuple[float, float] | None
    intercept: float
    intercept_error: float | None
    r_squared: float


class Limit(Record):
    """What a study found."""

    temperature: float | None  # of the answers; None: not known
    arms: tuple[Arm, ...]  # by cap
    longest: Line | None  # None: fewer than two arms
    ceiling: Line | None
    mean: Line | None
    rising: bool  # does the ceiling rise with every cap?


class Trained(NamedTuple):
    """What an arm was trained on."""

    samples: int
    longest: int  # words


def arm(cap: int, trained: Trained, answers: Sequence[Prediction], *, passes: int) -> Arm:
    """An arm's figures; words are counted as the paper counts them. Raises ValueError without answers."""
    from numpy import quantile
    from scipy.stats import quantile_test, sem

    words = [count_words(answer.response) for answer in answers]
    top = max(answer.item.length for answer in answers)
    number = [answer.sample % passes for answer in answers]
    longest = [max(count for count, its in zip(words, number, strict=True) if its == one) for one in sorted(set(number))]
    low, high = quantile_test(words, p=CEILING).confidence_interval(LEVEL)
    return Arm(
        cap=cap,
        trained=trained.longest,
        samples=trained.samples,
        answers=len(words),
        longest=fmean(longest),
        longest_error=float(sem(longest)) if len(longest) > 1 else 0.0,
        ceiling=float(quantile(words, CEILING)),
        ceiling_low=float(low) if isfinite(low) else None,
        ceiling_high=float(high) if isfinite(high) else None,
        mean=fmean(words),
        mean_error=float(sem(words)) if len(words) > 1 else 0.0,
        at_most=fmean(count for count, answer in zip(words, answers, strict=True) if answer.item.length == top),
    )


def limit(arms: Sequence[Arm], *, temperature: float | None) -> Limit:
    """The lines through the arms, in the order of their caps."""
    arms = sorted(arms, key=lambda one: one.cap)
    caps = [one.cap for one in arms]
    ceiling = [one.ceiling for one in arms]
    return Limit(
        temperature=temperature,
        arms=tuple(arms),
        longest=_line(caps, [one.longest for one in arms]),
        ceiling=_line(caps, ceiling),
        mean=_line(caps, [one.mean for one in arms]),
        rising=all(a < b for a, b in pairwise(ceiling)),
    )


def _line(x: Sequence[float], y: Sequence[float]) -> Line | None:
    if len(set(x)) < 2:
        return None
    from scipy.stats import linregress, t

    found, free = linregress(x, y), len(x) - 2
    reach = t.ppf((1 + LEVEL) / 2, free) * found.stderr if free else None
    return Line(
        slope=float(found.slope),
        slope_error=float(found.stderr) if free else None,
        slope_interval=None if reach is None else (float(found.slope - reach), float(found.slope + reach)),
        intercept=float(found.intercept),
        intercept_error=float(found.intercept_stderr) if free else None,
        r_squared=float(found.rvalue) ** 2,
    )


def said(line: Line | None) -> str:
    """A line for people: `31 + 0.94 · cap, slope ± 0.05`."""
    if line is None:
        return "one cap has no line"
    error = "" if line.slope_error is None else f", slope ± {line.slope_error:.2f}"
    return f"{line.intercept:.0f} + {line.slope:.2f} · cap{error}, R² {line.r_squared:.3f}"


def table(found: Limit) -> str:
    """The arms as CSV."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(Arm.model_fields)
    rows.writerows(one.model_dump().values() for one in found.arms)
    return buffer.getvalue()
