"""Fit the word counts of a plan to the requested length and to the bounds of a paragraph."""

import math
from collections.abc import Sequence

from tasks.agentwrite.plan_fields import PlanLine
from tasks.agentwrite.plan_text import Noun
from tasks.schema.errors import ReplyError
from tasks.schema.params import Bounds
from tasks.schema.records import Step


def reconcile(
    lines: Sequence[PlanLine | Step],
    asked: int,
    *,
    bounds: Bounds,
    deviation: float,
    most: int | None = None,
    noun: Noun = "paragraph",
) -> tuple[Step, ...]:
    """Steps with word budgets within `bounds` that add up to the requested length `asked`.

    If all counts are within `bounds` and the total is within `deviation` (a share of `asked`), the counts are kept. Otherwise they are
    rescaled proportionally to `asked`, or as near as the number of lines allows. A line without a count gets an equal share of the
    rest. Raises ReplyError if even the nearest total deviates by more than `deviation`; the message says how many lines, up to `most`,
    would be right.
    """
    words = _filled([line.words for line in lines], asked, bounds)
    if all(count in bounds for count in words) and abs(sum(words) - asked) <= deviation * asked:
        shares = words
    else:
        target = min(max(asked, len(words) * bounds.min), len(words) * bounds.max)
        if abs(target - asked) > deviation * asked:
            raise ReplyError(
                f"{len(words)} {noun}{'s' * (len(words) > 1)} of {bounds.min} to {bounds.max} words cannot add up to the {asked} "
                f"that are asked for; {_would_do(asked, bounds, deviation, most)}"
            )
        shares = _shared_out(words, target, bounds)
    return tuple(Step(point=line.point, words=share) for line, share in zip(lines, shares, strict=True))


def _filled(words: list[int | None], asked: int, bounds: Bounds) -> list[int]:
    """Fill missing counts with equal shares of the rest, or with the mean of the known counts if the share is out of bounds."""
    known = [count for count in words if count is not None]
    if len(known) == len(words):
        return known
    share = (asked - sum(known)) / (len(words) - len(known))
    if known and not bounds.min <= share <= bounds.max:
        share = sum(known) / len(known)
    return [max(1, round(share)) if count is None else count for count in words]


def _would_do(asked: int, bounds: Bounds, deviation: float, most: int | None) -> str:
    fewest = max(1, math.ceil(asked * (1 - deviation) / bounds.max))
    fit = math.floor(asked * (1 + deviation) / bounds.min)
    fit = min(fit, most or fit)
    if fewest > fit:
        return "no number of them can"
    return f"{fewest} would do" if fewest == fit else f"{fewest} to {fit} would do"


def _shared_out(weights: list[int], total: int, bounds: Bounds) -> list[int]:
    """Divide `total` in proportion to `weights`, within `bounds`. Words removed by clipping go to the other lines."""
    shares = [0.0] * len(weights)
    free = set(range(len(weights)))
    while free:
        left = total - sum(shares[place] for place in range(len(weights)) if place not in free)
        scale = left / sum(weights[place] for place in free)
        over = {place for place in free if weights[place] * scale > bounds.max}
        under = {place for place in free if weights[place] * scale < bounds.min}
        excess = sum(weights[place] * scale - bounds.max for place in over) - sum(bounds.min - weights[place] * scale for place in under)
        fixed = (over if excess >= 0 else under) or over or under
        for place in fixed or free:
            shares[place] = min(max(weights[place] * scale, bounds.min), bounds.max)
        free -= fixed or free
    return _rounded(shares, total, bounds)


def _rounded(shares: list[float], total: int, bounds: Bounds) -> list[int]:
    """Integers with the same total: the shares with the largest remainders are rounded up."""
    whole = [math.floor(share) for share in shares]
    missing = total - sum(whole)
    for place in sorted(range(len(shares)), key=lambda place: whole[place] - shares[place]):
        if missing > 0 and whole[place] < bounds.max:
            whole[place] += 1
            missing -= 1
    return whole
