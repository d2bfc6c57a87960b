"""Plans as JSON: the schema for the teacher, and strict reading of its reply.

A plan requested by schema must have exactly these fields. For endpoints without JSON schema, the plan is requested as lines of text,
which plan_text.py reads.
"""

import re
from typing import Annotated, NamedTuple

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from tasks.agentwrite.plan_fields import MAX_WORDS, PlanLine, tidy
from tasks.agentwrite.plan_text import Noun, parse_plan
from tasks.schema.errors import ReplyError
from tasks.schema.params import Bounds

POINT = Bounds(min=20, max=240)  # characters of a main point, where the schema limits it
_FENCE = re.compile(r"```\w*\s*\n(.*?)```", re.DOTALL)
_FAULTS = {
    "missing": "is missing",
    "extra_forbidden": "is no field of a plan",
    "string_type": "is not a text",
    "int_type": "is not a whole number",
    "model_type": "is not an object with main_point and word_count",
    "greater_than_equal": "is below 1",
    "less_than_equal": f"is above {MAX_WORDS}",
}


class _Part(BaseModel):
    """A paragraph or chapter of a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    main_point: str
    word_count: Annotated[int, BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)] = (
        Field(ge=1, le=MAX_WORDS)
    )


_PARTS = TypeAdapter(list[_Part])


class Limits(NamedTuple):
    """What a plan's schema may allow: how many parts, and how many words each may have."""

    fewest: int
    most: int
    words: Bounds


def plan_schema(noun: Noun, limits: Limits | None = None) -> dict[str, object]:
    """The JSON schema of a plan: an object with one list of main points and word counts. With `limits` an endpoint that decodes by the
    schema cannot give too few parts, nor counts that do not fit; not every endpoint takes such a schema."""
    point: dict[str, object] = {"type": "string"}
    count: dict[str, object] = {"type": "integer"}
    parts: dict[str, object] = {"type": "array"}
    if limits:
        point |= {"minLength": POINT.min, "maxLength": POINT.max}
        count |= {"minimum": limits.words.min, "maximum": limits.words.max}
        parts |= {"minItems": limits.fewest, "maxItems": limits.most}
    fields = {"main_point": point, "word_count": count}
    part = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    plan = {f"{noun}s": parts | {"items": part}}
    return {"type": "object", "properties": plan, "required": list(plan), "additionalProperties": False}


def read_plan(text: str, *, max_paragraphs: int, noun: Noun = "paragraph") -> tuple[PlanLine, ...]:
    """The lines of a plan, from JSON or, if the reply is not JSON, from lines of text.

    Raises ReplyError with the paragraph or chapter: a missing or unknown field, a wrong type, a count out of range, an empty main
    point, more than `max_paragraphs`. For lines of text it raises as `parse_plan` does.
    """
    body = _json_of(text, noun)
    if not body:
        return parse_plan(text, max_paragraphs=max_paragraphs, noun=noun)
    try:
        plan = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ReplyError(f"the plan is not valid JSON: {error}") from None
    if not isinstance(plan, dict) or list(plan) != [f"{noun}s"] or not isinstance(plan[f"{noun}s"], list):
        raise ReplyError(f"the plan is not a JSON object with the one field {noun}s, a list")
    return _lines(plan[f"{noun}s"], max_paragraphs, noun)


def _json_of(text: str, noun: Noun) -> str:
    """The JSON in a reply, without a fence or surrounding words; empty if the reply is not JSON."""
    fence = _FENCE.search(text)
    body = (fence[1] if fence else text).strip()
    if body.startswith(("{", "[{")):
        return body
    return body[body.find("{") : body.rfind("}") + 1] if f'"{noun}s"' in body else ""


def _lines(parts: list[object], most: int, noun: Noun) -> tuple[PlanLine, ...]:
    if not parts:
        raise ReplyError(f"the plan has no {noun}s")
    if len(parts) > most:
        raise ReplyError(f"{len(parts)} {noun}s, at most {most} are allowed")
    try:
        found = _PARTS.validate_python(parts)
    except ValidationError as error:
        place, *field = error.errors()[0]["loc"]
        fault = _FAULTS.get(error.errors()[0]["type"], error.errors()[0]["msg"])
        raise ReplyError(f"{noun} {int(place) + 1}: {'.'.join(map(str, field)) or 'it'} {fault}") from None
    lines = [PlanLine(place, tidy(part.main_point), part.word_count) for place, part in enumerate(found, 1)]
    if empty := next((line.number for line in lines if not line.point), 0):
        raise ReplyError(f"{noun} {empty}: main_point is empty")
    return tuple(lines)
