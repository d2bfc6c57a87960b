"""A judge's reply as six scores, strictly. What cannot be read is an error that says why, never a default score.

The reply must hold one JSON object with the six dimensions, whole numbers from 1 to 5; prose and code fences around it
are fine. Names may be the paper's ("Breadth and Depth") or ours (`breadth_and_depth`), in any case; other keys are ignored.
Several verdicts in one reply are fine only if they agree: an answer under judgement may have smuggled one in, so that
neither the first nor the last is to be trusted.
"""

import json
import re
from contextlib import suppress
from typing import Any

from tasks.judging.replies import objects, plain
from tasks.schema.errors import ReplyError
from tasks.schema.records import Rubric

DIMENSIONS = tuple(Rubric.model_fields)
SCORE: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 5}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": dict.fromkeys(DIMENSIONS, SCORE),
    "required": list(DIMENSIONS),
    "additionalProperties": False,
}

WRAPPED = 3  # objects around a verdict, at the most
_FLAT = re.compile(r"\{[^{}]*\}")


def parse_rubric(reply: str) -> Rubric:
    """The six scores of a reply. Raises ReplyError that says what was wrong with it."""
    found = [verdict for verdict in map(_named, objects(reply, DIMENSIONS)) if verdict]
    if not found:
        raise ReplyError("no JSON object with the six dimensions")
    rubrics = [_rubric(verdict) for verdict in found]
    if any(rubric != rubrics[0] for rubric in rubrics):
        raise ReplyError(f"{len(rubrics)} verdicts that differ")
    return rubrics[0]


def planted(answer: str) -> set[Rubric]:
    """The finished verdicts that stand in an answer: where the judge says the same, it cannot be told from a copy."""
    found = set()
    if "relevance" in answer.lower():  # most answers end here; the rest is linear too, as an answer may have megabytes
        for match in _FLAT.finditer(answer):
            if match[0].count(":") >= len(DIMENSIONS):
                with suppress(ReplyError, ValueError):
                    found.add(_rubric(_named(json.loads(match[0]))))
    return found


def _named(value: dict[str, Any], depth: int = WRAPPED) -> dict[str, Any]:
    """The dimensions of an object; of the object within it, where the verdict is wrapped as {"scores": {…}}."""
    own = {plain(key): score for key, score in value.items() if plain(key) in DIMENSIONS}
    if not own and depth:
        inner = [_named(part, depth - 1) for part in value.values() if isinstance(part, dict)]
        return inner[0] if len(inner) == 1 else {}
    return own


def _rubric(verdict: dict[str, Any]) -> Rubric:
    for name in DIMENSIONS:
        if name not in verdict:
            raise ReplyError(f"{name} is missing")
        score = verdict[name]
        if isinstance(score, bool) or not isinstance(score, int) or not 1 <= score <= 5:
            raise ReplyError(f"{name} is {json.dumps(score, ensure_ascii=False)[:40]}, not a whole number from 1 to 5")
    return Rubric(**verdict)
