"""The ruler: written against asked lengths, how far the answers reach, and where they stop growing (LongWrite-Ruler, section 2)."""

from collections.abc import Iterable, Sequence
from statistics import mean

from tasks.schema.records import Record
from tasks.text.counts import s_l

GROWTH = 1.25  # of the mean answer, for twice the ask: who writes what is asked has 2, and who has stopped has 1 and noise


class Point(Record):
    """One answer on the ruler, in words."""

    asked: int
    written: int


class Reach(Record):
    """How far a model's answers reach for one asked length, in words."""

    asked: int
    items: int
    mean: float
    longest: int
    s_l: float  # mean, in paper mode


class Ceiling(Record):
    """How long a model's answers get, in words. `asked` is None where they grow to the end, or too little was asked to tell."""

    longest: int
    asked: int | None  # from which on twice the ask brings less than a quarter more words
    mean: float | None  # words written where that much or more is asked


def reach(points: Iterable[Point]) -> list[Reach]:
    """Mean and longest answer per asked length, shortest ask first."""
    by_asked: dict[int, list[int]] = {}
    for point in points:
        by_asked.setdefault(point.asked, []).append(point.written)
    return [
        Reach(asked=asked, items=len(found), mean=mean(found), longest=max(found), s_l=mean(s_l(asked, written) for written in found))
        for asked, found in sorted(by_asked.items())
    ]


def ceiling(points: Sequence[Point]) -> Ceiling:
    """The longest answer, and the asked length from which the answers stop growing.

    That is the first asked length `a` for which the answers to asks of 2a and more are on average at most 1.25 times as long as
    those to asks from a up to 2a. The longest asks have nothing twice as long to be tried against, so that no ceiling is found
    in the upper half of what was asked.
    """
    longest, tried = max(point.written for point in points), tried_lengths(points)
    flat = next((asked for asked in tried if _flat_from(asked, points)), None)
    above = None if flat is None else mean(point.written for point in points if point.asked >= flat)
    return Ceiling(longest=longest, asked=flat, mean=above)


def tried_lengths(points: Iterable[Point]) -> list[int]:
    """The asked lengths for which something at least twice as long was asked, shortest first."""
    asked = sorted({point.asked for point in points})
    return [length for length in asked if 2 * length <= asked[-1]]


def _flat_from(asked: int, points: Sequence[Point]) -> bool:
    here = mean(point.written for point in points if asked <= point.asked < 2 * asked)
    return mean(point.written for point in points if point.asked >= 2 * asked) <= GROWTH * here
