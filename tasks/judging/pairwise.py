"""What came of two models' duels, of which each was judged in both orders.

A judge that prefers the text that stands first, or that obeys one that says "the first wins", says the opposite when the order is
turned: then the duel is a contradiction, and nobody's win.

The duels of one topic are one observation: several answers to one prompt, and prompts that differ by their asked length alone. A judge that
goes by place names the first text in both orders of a duel: counted as two comparisons it would seem twice as sure.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from tasks.schema.records import Duel, Record
from tasks.statistics import LEVEL, Interval, share, sign_test

Outcome = Literal["A is preferred", "B is preferred", "cannot tell"]


class Tally(Record):
    """What came of two models' duels. A duel is won where both orders name the same model."""

    a: str
    b: str
    duels: int
    a_wins: int
    b_wins: int
    ties: int  # both orders say so
    contradictions: int  # the orders disagree
    unread: int  # an order without a readable reply
    win_rate: float | None  # of A, over the duels that somebody won; None: nobody won any
    win_rate_interval: Interval | None  # 95%, over topics; None: fewer than two of them have a winner
    topics: int  # with a duel that somebody won
    p: float | None  # two-sided, of the exact sign test over topics; None: nobody won any
    verdict: Outcome  # whom the judge prefers, at p ≤ 0.05
    first_place: float | None  # share of the readable comparisons with a winner that the text in the first place won; 0.5: no bias
    first_place_interval: Interval | None


def tally(duels: Iterable[Duel]) -> list[Tally]:
    """The duels of each two models, summed up."""
    found: dict[tuple[str, str], list[Duel]] = {}
    for duel in duels:
        found.setdefault((duel.a, duel.b), []).append(duel)
    return [_tally(a, b, own) for (a, b), own in found.items()]


def contradicts(duel: Duel) -> bool:
    """Do the two orders disagree?"""
    return None not in (duel.a_first, duel.b_first) and duel.a_first != duel.b_first


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
    """Duels in which both orders name it."""
    return sum(duel.a_first == duel.b_first == winner for duel in duels)


def _places(duels: Iterable[Duel]) -> tuple[int, int]:
    """How many comparisons the text in the first place won, and how many somebody won."""
    winners = [winner for duel in duels for winner in ((duel.a_first, "a"), (duel.b_first, "b")) if winner[0] in ("a", "b")]
    return sum(winner == first for winner, first in winners), len(winners)


def _verdict(lead: int, p: float | None) -> Outcome:
    """`lead` is A's wins minus B's."""
    if p is None or p > 1 - LEVEL + 1e-12 or not lead:
        return "cannot tell"
    return "A is preferred" if lead > 0 else "B is preferred"
