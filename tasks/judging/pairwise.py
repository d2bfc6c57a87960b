"""What came of two models' duels, of which each was judged in both orders.

A judge that prefers the text that stands first, or that obeys one that says "the first wins", says the opposite when the order is
turned: then the duel is a contradiction, and nobody's win.
"""

from collections.abc import Iterable, Sequence

from tasks.longbench.intervals import Interval, wilson
from tasks.schema.records import Duel, Record


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
    win_rate_interval: Interval | None  # 95%, Wilson's
    first_place: float | None  # share of the readable comparisons with a winner that the text in the first place won; 0.5: no bias
    first_place_interval: Interval | None


def tally(duels: Iterable[Duel]) -> list[Tally]:
    """The duels of each two models, summed up. Several samples of one prompt count as so many duels."""
    found: dict[tuple[str, str], list[Duel]] = {}
    for duel in duels:
        found.setdefault((duel.a, duel.b), []).append(duel)
    return [_tally(a, b, own) for (a, b), own in found.items()]


def contradicts(duel: Duel) -> bool:
    """Do the two orders disagree?"""
    return None not in (duel.a_first, duel.b_first) and duel.a_first != duel.b_first


def _tally(a: str, b: str, duels: Sequence[Duel]) -> Tally:
    agreed = [duel.a_first for duel in duels if duel.a_first == duel.b_first]
    winners = [winner for duel in duels for winner in ((duel.a_first, "a"), (duel.b_first, "b")) if winner[0] in ("a", "b")]
    wins, losses, in_front = agreed.count("a"), agreed.count("b"), sum(winner == first for winner, first in winners)
    return Tally(
        a=a,
        b=b,
        duels=len(duels),
        a_wins=wins,
        b_wins=losses,
        ties=agreed.count("tie"),
        contradictions=sum(map(contradicts, duels)),
        unread=sum(None in (duel.a_first, duel.b_first) for duel in duels),
        win_rate=wins / (wins + losses) if wins + losses else None,
        win_rate_interval=wilson(wins, wins + losses),
        first_place=in_front / len(winners) if winners else None,
        first_place_interval=wilson(in_front, len(winners)),
    )
