"""The ruler: written against requested length, the longest answers, and the length at which answers stop growing (paper, section 2)."""

from collections.abc import Iterable, Sequence
from statistics import mean

from tasks.schema.records import Record
from tasks.text.counts import s_l

GROWTH = 1.25  # of the mean answer when the requested length doubles: 2 for a model that follows, about 1 for one that stopped growing


class RulerPoint(Record):
    """One answer on the ruler, in words."""

    asked: int
    written: int


class Reach(Record):
    """Length of a model's answers at one requested length, in words."""

    asked: int
    items: int
    mean: float
    longest: int
    s_l: float  # mean, in paper mode
    mean_without_loops: float | None = None  # words outside loops and repeated passages, in fixed mode; None: the texts were not at hand
    s_l_without_loops: float | None = None  # mean S_l of these


class Ceiling(Record):
    """How long a model's answers get, in words. `asked` is None if they grow to the end, or if the requested lengths are too few to
    decide.
    """

    longest: int
    asked: int | None  # requested length from which doubling it adds at most a quarter more words
    mean: float | None  # words written at that requested length and above


def reach(points: Iterable[RulerPoint]) -> list[Reach]:
    """Mean and longest answer per requested length, shortest requested length first."""
    by_asked: dict[int, list[int]] = {}
    for point in points:
        by_asked.setdefault(point.asked, []).append(point.written)
    return [
        Reach(asked=asked, items=len(found), mean=mean(found), longest=max(found), s_l=mean(s_l(asked, written) for written in found))
        for asked, found in sorted(by_asked.items())
    ]


def ceiling(points: Sequence[RulerPoint]) -> Ceiling:
    """Returns the longest answer, and the requested length from which the answers stop growing.

    That is the first requested length `a` for which the answers to requests of 2a and more are on average at most 1.25 times as long as
    the answers to requests from a up to 2a. The upper half of the requested lengths has nothing twice as long to compare with, so no
    ceiling is found there.
    """
    longest, tried = max(point.written for point in points), tried_lengths(points)
    flat = next((asked for asked in tried if _flat_from(asked, points)), None)
    above = None if flat is None else mean(point.written for point in points if point.asked >= flat)
    return Ceiling(longest=longest, asked=flat, mean=above)


def tried_lengths(points: Iterable[RulerPoint]) -> list[int]:
    """The requested lengths for which a request at least twice as long exists, shortest first."""
    asked = sorted({point.asked for point in points})
    return [length for length in asked if 2 * length <= asked[-1]]


def _flat_from(asked: int, points: Sequence[RulerPoint]) -> bool:
    here = mean(point.written for point in points if asked <= point.asked < 2 * asked)
    return mean(point.written for point in points if point.asked >= 2 * asked) <= GROWTH * here
