"""Fingerprint of the evaluation setup (judge, judge prompt, prompts, samples). Equal fingerprints mean comparable scores."""

import hashlib
import json
from collections.abc import Iterable

from tasks.schema.records import ScoredItem

UNDER = "evaluated_under"  # the tag of a version


def under(answers: Iterable[ScoredItem], judge: str | None) -> str:
    """Returns the fingerprint of one model's scored answers and their judge."""
    return digest(judge, ((answer.id, answer.sample) for answer in answers))


def digest(judge: str | None, asked: Iterable[tuple[str, int]]) -> str:
    """Returns 16 hex digits over the judge, as verdicts name it, and the pairs of item id (prompt and length) and sample index."""
    return hashlib.sha256(json.dumps([judge, sorted(asked)]).encode()).hexdigest()[:16]
