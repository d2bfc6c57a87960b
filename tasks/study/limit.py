"""Output length of the study's models against their training cap: figures, fitted lines, standard errors."""

import csv
import io
from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from statistics import fmean
from typing import NamedTuple

from tasks.schema.records import Prediction
from tasks.schema.study_results import CEILING, Arm, FittedLine, Limit
from tasks.text.counts import count_words

LEVEL = 0.95


class ArmTraining(NamedTuple):
    """The training data of an arm."""

    samples: int
    longest: int  # words


def arm(cap: int, trained: ArmTraining, answers: Sequence[Prediction], *, passes: int) -> Arm:
    """The figures of an arm, in words by the paper's count. Raises ValueError without answers."""
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
    """The result of a study: the arms sorted by cap, and the fitted lines."""
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


def _line(x: Sequence[float], y: Sequence[float]) -> FittedLine | None:
    if len(set(x)) < 2:
        return None
    from scipy.stats import linregress, t

    found, free = linregress(x, y), len(x) - 2
    reach = t.ppf((1 + LEVEL) / 2, free) * found.stderr if free else None
    return FittedLine(
        slope=float(found.slope),
        slope_error=float(found.stderr) if free else None,
        slope_interval=None if reach is None else (float(found.slope - reach), float(found.slope + reach)),
        intercept=float(found.intercept),
        intercept_error=float(found.intercept_stderr) if free else None,
        r_squared=float(found.rvalue) ** 2,
    )


def said(line: FittedLine | None) -> str:
    """A fitted line as text: `31 + 0.94 · cap, slope ± 0.05, R² 0.998`."""
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
