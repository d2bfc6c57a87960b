"""What a row of any public shape says: the ask that counts for the pool, or the whole conversation.

Recognised are WildChat's and LMSYS's `conversation`, ShareGPT's `conversations`, `messages`, Alpaca's `instruction` with its
`input`, and rows with a `prompt`, `query`, `question` or `task`. Of a pool's row the first user turn counts.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tasks.schema.records import Message

TURNS = ("conversation", "messages", "conversations")
TEXTS = ("prompt", "instruction", "query", "question", "task")
FIELDS = (*TURNS, *TEXTS)
FLAGS = ("toxic", "openai_moderation", "input")  # read beside the fields
TURN_FIELDS = ("role", "from", "content", "value")
OF_ADAPTER: Mapping[str, tuple[str, ...]] = {
    "auto": FIELDS,
    "wildchat": ("conversation",),
    "lmsys": ("conversation",),
    "sharegpt": ("conversations",),
    "messages": ("messages",),
    "alpaca": ("instruction",),
    "prompt": ("prompt", "query", "question", "task"),
}
ANSWERS = ("output", "response", "completion", "answer")
ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "system": "system"}


class Ask(NamedTuple):
    """What somebody asked of a model, as the source has it."""

    text: str
    toxic: bool = False
    attachment: bool = False  # the turn holds more than text


class Misfit(ValueError):
    """The first thing about a row that does not fit."""


def ask_of(row: Mapping[str, Any], adapter: str = "auto") -> Ask:
    """The first user turn; an empty text where there is none. Raises Misfit."""
    toxic = _flag(row, "toxic")
    field = _field(row, adapter)
    value = row[field]
    if field in TURNS or isinstance(value, list):
        ask = _first_turn(value, field)
        return ask._replace(toxic=toxic or _moderated(row))
    given = row.get("input") if field == "instruction" else None
    return Ask(_text(value, field) + (f"\n\n{_text(given, 'input')}" if given else ""), toxic)


def messages_of(row: Mapping[str, Any], adapter: str = "auto") -> tuple[Message, ...]:
    """The whole conversation, roles by their usual names; of a row with a text and an answer the two. Raises Misfit."""
    field = _field(row, adapter)
    value = row[field]
    if field in TURNS or isinstance(value, list):
        return tuple(_message(turn, f"{field}.{place}") for place, turn in enumerate(_turns(value, field)))
    answer = next((name for name in ANSWERS if row.get(name) is not None), None)
    if answer is None:
        raise Misfit(f"missing field: none of {', '.join(ANSWERS)}")
    asked = ask_of(row, adapter).text
    return Message(role="user", content=asked), Message(role="assistant", content=_text(row[answer], answer))


def _field(row: Mapping[str, Any], adapter: str) -> str:
    for field in OF_ADAPTER[adapter]:
        if row.get(field) is not None:
            return field
    raise Misfit(f"missing field: none of {', '.join(OF_ADAPTER[adapter])}")


def _message(turn: Any, where: str) -> Message:
    if not isinstance(turn, dict):
        raise Misfit(f"{where}: an object is wanted, got {_kind(turn)}")
    role = turn.get("role") or turn.get("from")
    if role not in ROLES:
        raise Misfit(f"{where}.role: one of {', '.join(ROLES)} is wanted, got {role!r}")
    return Message.model_validate({"role": ROLES[role], "content": _turn(turn, where).text})


def _turns(turns: Any, field: str) -> list[Any]:
    if not isinstance(turns, list):
        raise Misfit(f"{field}: a list of turns is wanted, got {_kind(turns)}")
    return turns


def _first_turn(turns: Any, field: str) -> Ask:
    for place, turn in enumerate(_turns(turns, field)):
        where = f"{field}.{place}"
        if not isinstance(turn, dict):
            raise Misfit(f"{where}: an object is wanted, got {_kind(turn)}")
        role = turn.get("role") or turn.get("from")
        if not role:
            raise Misfit(f"{where}.role: missing field")
        if role in ("user", "human"):
            return _turn(turn, where)
    return Ask("")


def _turn(turn: Mapping[str, Any], where: str) -> Ask:
    key = "value" if turn.get("value") is not None else "content"
    if key not in turn:
        raise Misfit(f"{where}.content: missing field")
    content = turn[key]
    if not isinstance(content, list):
        return Ask("" if content is None else _text(content, f"{where}.{key}"))
    texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return Ask("\n".join(texts), attachment=len(texts) < len(content))


def _moderated(row: Mapping[str, Any]) -> bool:
    """LMSYS has no flag of its own: its first turn's moderation says whether it was flagged."""
    verdicts = row.get("openai_moderation")
    first = verdicts[0] if isinstance(verdicts, list) and verdicts else None
    return isinstance(first, dict) and first.get("flagged") is True


def _flag(row: Mapping[str, Any], field: str) -> bool:
    value = row.get(field)
    if value is not None and not isinstance(value, bool):
        raise Misfit(f"{field}: true or false is wanted, got {_kind(value)}")
    return bool(value)


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise Misfit(f"{field}: a text is wanted, got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    """What JSON calls it, with the value where it is short."""
    name = {dict: "an object", list: "a list", bool: "a truth value", int: "a number", float: "a number", str: "a text"}.get(
        type(value), "null"
    )
    return name if isinstance(value, dict | list) or len(repr(value)) > 40 else f"{name} ({value!r})"
