"""Under what a version was evaluated: its tag is the same wherever the same judge, with the same prompt, scored the same prompts."""

import hashlib
import json
from collections.abc import Iterable

from tasks.schema.records import ScoredItem

UNDER = "evaluated_under"  # the tag


def under(answers: Iterable[ScoredItem], judge: str | None) -> str:
    """Of one model's scored answers, and who judged them."""
    return digest(judge, ((answer.id, answer.sample) for answer in answers))


def digest(judge: str | None, asked: Iterable[tuple[str, int]]) -> str:
    """Of the judge as verdicts name it, and each prompt's id (of text and length) with the number of the answer."""
    return hashlib.sha256(json.dumps([judge, sorted(asked)]).encode()).hexdigest()[:16]
