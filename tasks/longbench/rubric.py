"""A judge's reply as six scores, strictly. What cannot be read is an error that says why, never a default score.

The reply must hold one JSON object with the six dimensions, whole numbers from 1 to 5; prose and code fences around it
are fine. Names may be the paper's ("Breadth and Depth") or ours (`breadth_and_depth`), in any case; other keys are ignored.
Several verdicts in one reply are fine only if they agree: an answer under judgement may have smuggled one in, so that
neither the first nor the last is to be trusted.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tasks.schema.errors import ReplyError
from tasks.schema.records import Rubric

DIMENSIONS = tuple(Rubric.model_fields)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "integer", "minimum": 1, "maximum": 5} for name in DIMENSIONS},
    "required": list(DIMENSIONS),
    "additionalProperties": False,
}

MAX_REPLY = 200_000  # characters; a verdict has a few hundred


def parse_rubric(reply: str) -> Rubric:
    """The six scores of a reply. Raises ReplyError that says what was wrong with it."""
    if not reply.strip():
        raise ReplyError("empty reply")
    if len(reply) > MAX_REPLY:
        raise ReplyError(f"reply of {len(reply)} characters")
    found = [verdict for verdict in map(_named, _objects(reply)) if verdict]
    if not found:
        raise ReplyError("no JSON object with the six dimensions" if "{" in reply else "no JSON object")
    rubrics = [_rubric(verdict) for verdict in found]
    if any(rubric != rubrics[0] for rubric in rubrics):
        raise ReplyError(f"{len(rubrics)} verdicts that differ")
    return rubrics[0]


def _objects(reply: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text; braces of prose are passed over. Raises ReplyError for one that is cut off or broken."""
    decoder, place = json.JSONDecoder(object_pairs_hook=_object), reply.find("{")
    while place != -1:
        try:
            value, end = decoder.raw_decode(reply, place)
        except RecursionError:
            raise ReplyError("JSON nested too deep") from None
        except ValueError as error:
            if re.match(r'\{\s*"', reply[place : place + 100]):
                raise ReplyError(f"JSON cut off or broken: {getattr(error, 'msg', error)}") from None
            end = place + 1
        else:
            yield value
        place = reply.find("{", end)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [_key(key) for key, _ in pairs]
    for name in DIMENSIONS:
        if keys.count(name) > 1:
            raise ReplyError(f"{name} is given twice")
    return dict(pairs)


def _key(name: str) -> str:
    return re.sub(r"[\s_&-]+", "_", name.strip().lower().replace("&", " and "))


def _named(value: dict[str, Any]) -> dict[str, Any]:
    """The dimensions of an object; of the object within it, where the verdict is wrapped as {"scores": {…}}."""
    own = {_key(key): score for key, score in value.items() if _key(key) in DIMENSIONS}
    if not own:
        inner = [_named(part) for part in value.values() if isinstance(part, dict)]
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
