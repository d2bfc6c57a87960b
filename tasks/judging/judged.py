"""How far the judge of an evaluation can be relied on, in one document: data/score/reliability.json."""

from collections.abc import Iterable

from tasks.judging.pairwise import Tally, tally
from tasks.judging.reliability import Reliability, reliability
from tasks.schema.records import Duel, Record, Verdict


class Judged(Record):
    judge: Reliability
    duels: tuple[Tally, ...]  # of each two models; empty: they were not compared


def judged(verdicts: Iterable[Verdict], duels: Iterable[Duel]) -> Judged:
    """Raises ValueError if there is no verdict of a first judge."""
    return Judged(judge=reliability(verdicts), duels=tuple(tally(duels)))
