"""Summarises the duels of two models, each judged in both orders.

A judge that prefers the first text, or that obeys a text saying "the first wins", contradicts itself when the order is swapped. Such a
duel is a contradiction and has no winner.

The duels of one topic are one observation: several answers to one prompt, and prompts that differ only in requested length. The two orders
of a duel also count together: a judge with position bias names the first text in both, which would double the evidence.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from tasks.schema.records import Duel, Record
from tasks.statistics import LEVEL, Interval, share, sign_test

Outcome = Literal["A is preferred", "B is preferred", "cannot tell"]


class Tally(Record):
    """The duels of two models. A model wins a duel if both orders name it."""

    a: str
    b: str
    duels: int
    a_wins: int
    b_wins: int
    ties: int  # both orders say tie
    contradictions: int  # the orders disagree
    unread: int  # duels in which an order has no readable reply
    win_rate: float | None  # of A, over the duels with a winner; None: no winner
    win_rate_interval: Interval | None  # 95%, over topics; None: fewer than two topics with a winner
    topics: int  # topics with a duel that has a winner
    p: float | None  # two-sided exact sign test over topics; None: no winner
    verdict: Outcome  # the preferred model, at p ≤ 0.05
    first_place: float | None  # share of comparisons with a winner that the first text won; 0.5: no position bias
    first_place_interval: Interval | None


def tally(duels: Iterable[Duel]) -> list[Tally]:
    """Summarises the duels of every two models."""
    found: dict[tuple[str, str], list[Duel]] = {}
    for duel in duels:
        found.setdefault((duel.a, duel.b), []).append(duel)
    return [_tally(a, b, own) for (a, b), own in found.items()]


def contradicts(duel: Duel) -> bool:
    """Whether the two orders of a duel disagree."""
    return None not in (duel.a_first, duel.b_first) and duel.a_first != duel.b_first


def first_places(duels: Iterable[Duel]) -> list[tuple[int, int]]:
    """By topic: the comparisons that the first text won, and the comparisons with a winner. The share of one half is no position bias."""
    topics: dict[str, list[Duel]] = {}
    for duel in duels:
        topics.setdefault(duel.topic or f"prompt {duel.id}", []).append(duel)
    return [_places(own) for own in topics.values()]


def _tally(a: str, b: str, duels: Sequence[Duel]) -> Tally:
    topics: dict[str, list[Duel]] = {}
    for duel in duels:
        topics.setdefault(duel.topic or f"prompt {duel.id}", []).append(duel)
    won = [(_wins(own, "a"), _wins(own, "b")) for own in topics.values()]
    won = [(ours, theirs) for ours, theirs in won if ours or theirs]
    placed = [_places(own) for own in topics.values()]
    wins, losses = sum(ours for ours, _ in won), sum(theirs for _, theirs in won)
    in_front, decided = sum(first for first, _ in placed), sum(number for _, number in placed)
    p = sign_test([ours - theirs for ours, theirs in won]) if won else None
    return Tally(
        a=a,
        b=b,
        duels=len(duels),
        a_wins=wins,
        b_wins=losses,
        ties=_wins(duels, "tie"),
        contradictions=sum(map(contradicts, duels)),
        unread=sum(None in (duel.a_first, duel.b_first) for duel in duels),
        win_rate=wins / (wins + losses) if wins + losses else None,
        win_rate_interval=share([ours for ours, _ in won], [ours + theirs for ours, theirs in won]),
        topics=len(won),
        p=p,
        verdict=_verdict(wins - losses, p),
        first_place=in_front / decided if decided else None,
        first_place_interval=share(*zip(*placed, strict=True)) if placed else None,
    )


def _wins(duels: Iterable[Duel], winner: str) -> int:
    """Number of duels in which both orders name `winner`."""
    return sum(duel.a_first == duel.b_first == winner for duel in duels)


def _places(duels: Iterable[Duel]) -> tuple[int, int]:
    """Number of comparisons that the first text won, and number of comparisons with a winner."""
    winners = [winner for duel in duels for winner in ((duel.a_first, "a"), (duel.b_first, "b")) if winner[0] in ("a", "b")]
    return sum(winner == first for winner, first in winners), len(winners)


def _verdict(lead: int, p: float | None) -> Outcome:
    """`lead` is A's wins minus B's."""
    if p is None or p > 1 - LEVEL + 1e-12 or not lead:
        return "cannot tell"
    return "A is preferred" if lead > 0 else "B is preferred"
