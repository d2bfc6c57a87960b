"""The reliability of an evaluation's judge, in one document: data/score/reliability.json."""

from collections.abc import Iterable

from tasks.judging.pairwise import Tally, tally
from tasks.judging.reliability import Reliability, reliability
from tasks.schema.records import Duel, Record, Verdict


class Judged(Record):
    """Reliability of the judge, and its pairwise comparisons."""

    judge: Reliability | None  # None: not judged
    duels: tuple[Tally, ...]  # one per pair of models; empty if none were compared


def judged(verdicts: Iterable[Verdict], duels: Iterable[Duel]) -> Judged:
    """Summarises verdicts and duels. Raises ValueError without a verdict of a first judge."""
    return Judged(judge=reliability(verdicts), duels=tuple(tally(duels)))
