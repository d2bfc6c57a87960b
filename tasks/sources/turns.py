"""Read the turns of a conversation in the formats of public datasets.

A turn is an object with a role and a text (`role` and `content`, `from` and `value`), an object with a prompt and its answer
(`input` and `output`, `human` and `assistant`), a pair of texts, or one text in a list of alternating speakers, user first. A text
may be a list of parts. In tables, structs, maps, lists in structs and NumPy arrays replace objects and lists; a column of strings may
contain JSON. Other content of a turn is reported by the name of its field; nothing is dropped silently.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeGuard

import orjson

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "chatbot", "model", "ai", "bing", "bard"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "function_call", "function_response", "tool_call"), "tool"),
    **dict.fromkeys(("tool_response", "tool_result", "environment"), "tool"),
}
ROLE_KEYS = ("role", "from", "speaker", "sender")
TEXT_KEYS = ("content", "value", "text", "message", "utterance")
ASKED_KEYS = ("user", "human", "input", "prompt", "instruction", "query", "question")
ANSWERED_KEYS = ("assistant", "gpt", "bot", "model", "output", "response", "answer", "completion")
CALLS = ("tool_calls", "function_call")
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
MEDIA = ("image", "images", "image_url", "image_urls", "image_path", "audio", "audios", "video", "videos", "files", "attachments")
WEIGHTS = ("weight", "loss")  # 0 or false: this answer must not be trained on
TURN_FIELDS = frozenset((*ROLE_KEYS, *TEXT_KEYS, *ASKED_KEYS, *ANSWERED_KEYS, *CALLS, *THOUGHTS, *MEDIA, *WEIGHTS, "system"))
# Texts for a missing value, as people and table converters write them.
_BRACKETED = ("noinput", "no input", "nan", "null", "none")
_ABSENT = frozenset(("", "n/a", "undefined", "[]", "{}", *_BRACKETED, *(f"<{name}>" for name in _BRACKETED)))


class Misfit(ValueError):
    """A row cannot be used. The message names the field, the expected type and the value."""


class SourceTurn(NamedTuple):
    """One turn. `lacks`: why the text is not the complete turn, with the field: null, an image, a tool call; empty: complete."""

    role: str  # user, assistant, system or tool
    text: str
    where: str  # the field, such as messages.0.content
    lacks: str = ""


@lru_cache(maxsize=4096)
def normal(name: str) -> str:
    """The normal form of a field name: `System Prompt` and `system-prompt` are `system_prompt`."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def is_null(value: object) -> bool:
    """Whether a value is None, or NaN as tables store it."""
    return value is None or (isinstance(value, float) and value != value)


def is_absent(value: object) -> bool:
    """Whether a value is null, empty, or a text for a missing value: `<noinput>`, `nan`, `None`, `[]`."""
    value = plain(value)
    if isinstance(value, str):
        return value.strip().lower() in _ABSENT
    return is_null(value) or (isinstance(value, list | tuple | dict) and not value)


def plain(value: object) -> object:
    """NumPy arrays and scalars as Python values; any other value unchanged."""
    return value.tolist() if hasattr(value, "tolist") else value


def decoded(value: object) -> object:
    """The list or object that a string contains as JSON; any other value unchanged."""
    value = plain(value)
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            found = orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
        return found if isinstance(found, list | dict) else value
    return value


def turns_of(value: object, field: str) -> Iterator[SourceTurn]:
    """Yield the turns one by one. Raises Misfit at the first invalid turn; turns after the last requested one are not read."""
    turns = decoded(value)
    if isinstance(turns, Mapping):
        turns = _zipped(turns, field)
    if not isinstance(turns, list | tuple):
        raise Misfit(f"{field}: a list of turns is wanted, got {kind(turns)}")
    for place, turn in enumerate(turns):
        yield from _turn(plain(turn), f"{field}.{place}", place)


def is_turns(value: object) -> bool:
    """Whether the value of a text column is a list of turns: objects with roles, pairs of texts, or texts."""
    found = decoded(value)
    if not isinstance(found, list | tuple) or not found:
        return False
    first = plain(found[0])
    if isinstance(first, list | tuple):
        return (_is_map(first) and _has_role(dict(first))) or (len(first) == 2 and all(isinstance(side, str) for side in first))
    return isinstance(first, str) or _has_role(first)


def holds_request(value: object) -> bool:
    """Whether the given first turns of a conversation contain a user turn. If so, the other turns are not needed."""
    turns = [dict(turn) if _is_map(turn) else turn for turn in value] if isinstance(value, list) else []
    return any(_asks(turn) if isinstance(turn, Mapping) else isinstance(turn, str | list) for turn in turns)


def _asks(turn: Mapping[str, object]) -> bool:
    keys = _keys(turn)
    said = [turn[keys[key]] for key in ROLE_KEYS if key in keys and not is_null(turn[keys[key]])]
    if said:
        return isinstance(said[0], str) and ROLES.get(normal(said[0])) == "user"
    return any(key in keys and not is_null(turn[keys[key]]) for key in ASKED_KEYS)


def _has_role(turn: object) -> bool:
    return isinstance(turn, Mapping) and not set(ROLE_KEYS).isdisjoint(map(normal, turn))


def text_of(value: object, where: str) -> str:
    """`value` if it is a string. Raises Misfit otherwise."""
    if not isinstance(value, str):
        raise Misfit(f"{where}: {_wanted('a text', value)}")
    return value


def kind(value: object) -> str:
    """The JSON type of a value, with the value if it is short, for messages."""
    if is_null(value):
        return "null"
    names = {dict: "an object", list: "a list", tuple: "a list", bool: "a truth value", int: "a number", float: "a number", str: "a text"}
    name = names.get(type(value), type(value).__name__)
    return name if isinstance(value, dict | list | tuple) or len(repr(value)) > 40 else f"{name} ({value!r})"


def _wanted(what: str, value: object) -> str:
    return f"null, {what} is wanted" if is_null(value) else f"{what} is wanted, got {kind(value)}"


def _zipped(turns: Mapping[str, object], field: str) -> list[dict[str, object]]:
    """A list of objects from an object of lists, as some tables store it. Raises Misfit if the lengths differ."""
    lists = {name: found for name, values in turns.items() if isinstance(found := plain(values), list)}
    if not lists or len(lists) < len(turns) or len({len(values) for values in lists.values()}) > 1:
        raise Misfit(f"{field}: a list of turns is wanted, got an object")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _turn(turn: object, where: str, place: int) -> Iterator[SourceTurn]:
    if isinstance(turn, str) and not _has_role(decoded(turn)):
        yield SourceTurn(("user", "assistant")[place % 2], turn, where)
        return
    turn = decoded(turn)
    if isinstance(turn, Mapping):
        yield from _object(turn, where)
    elif _is_map(turn):
        yield from _object(dict(turn), where)
    elif isinstance(turn, list | tuple) and len(turn) == 2:
        for side, (role, value) in enumerate(zip(("user", "assistant"), turn, strict=True)):
            yield _spoken(role, value, f"{where}.{side}")
    else:
        raise Misfit(f"{where}: {_wanted('an object', turn)}")


def _is_map(turn: object) -> TypeGuard[list[tuple[str, object]]]:
    """Whether `turn` is a map of Parquet, which pyarrow returns as a list of tuples of two."""
    return isinstance(turn, list) and bool(turn) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in turn)


def _object(turn: Mapping[str, object], where: str) -> Iterator[SourceTurn]:
    keys = _keys(turn)
    role = next((key for key in ROLE_KEYS if key in keys and not is_null(turn[keys[key]])), None)
    if role is None:
        yield from _exchange(turn, keys, where)
        return
    said = turn[keys[role]]
    known = ROLES.get(normal(said)) if isinstance(said, str) else None
    if known is None:
        raise Misfit(f"{where}.{keys[role]}: one of user, assistant, system is wanted, got {kind(said)}")
    beside = _beside(turn, keys, where) or (_unlearned(turn, keys, where) if known == "assistant" else "")
    if known == "tool":
        yield SourceTurn("tool", "", where, f"{where}.{keys[role]}: a turn of a tool; only texts of user, assistant and system are read")
        return
    key = next((keys[key] for key in TEXT_KEYS if key in keys and not is_null(turn[keys[key]])), None)
    if key is None:
        null = next((keys[key] for key in TEXT_KEYS if key in keys), None)
        missing = f"{where}.{null}: null, a text is wanted" if null else f"{where}.content: missing field"
        yield SourceTurn(known, "", where, beside or missing)
    else:
        yield _with(_spoken(known, turn[key], f"{where}.{key}"), beside)


def _exchange(turn: Mapping[str, object], keys: Mapping[str, str], where: str) -> Iterator[SourceTurn]:
    """The turns of an object with a prompt and its answer."""
    asked = next((keys[key] for key in ASKED_KEYS if key in keys and not is_null(turn[keys[key]])), None)
    answered = next((keys[key] for key in ANSWERED_KEYS if key in keys and not is_null(turn[keys[key]])), None)
    if asked is None and answered is None:
        null = next((keys[key] for key in ROLE_KEYS if key in keys), None)
        raise Misfit(f"{where}.{null}: null, a role is wanted" if null else f"{where}.role: missing field")
    beside = _beside(turn, keys, where)
    if "system" in keys and not is_absent(turn[keys["system"]]):
        yield _spoken("system", turn[keys["system"]], f"{where}.{keys['system']}")
    if asked is not None:
        yield _with(_spoken("user", turn[asked], f"{where}.{asked}"), beside)
    if answered is not None:
        yield _with(_spoken("assistant", turn[answered], f"{where}.{answered}"), beside)


def _with(turn: SourceTurn, beside: str) -> SourceTurn:
    return turn._replace(lacks=turn.lacks or beside)


def _spoken(role: str, value: object, where: str) -> SourceTurn:
    """The turn of one speaker, from a text or a list of parts."""
    value = plain(value)
    if is_null(value):
        return SourceTurn(role, "", where, f"{where}: null, a text is wanted")
    if isinstance(value, list | tuple):
        return _parts(role, value, where)
    return SourceTurn(role, text_of(value, where), where)


def _parts(role: str, parts: Sequence[object], where: str) -> SourceTurn:
    texts, lacks = [], ""
    for place, part in enumerate(parts):
        text = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(text, str) and not (isinstance(part, Mapping) and part.get("type") in ("thinking", "reasoning")):
            texts.append(text)
        else:
            said = part.get("type") if isinstance(part, Mapping) else None
            what = f"a part of type {said}" if isinstance(said, str) else kind(part)
            lacks = lacks or f"{where}.{place}: {what}; only text is read"
    return SourceTurn(role, "\n".join(texts), where, lacks)


def _beside(turn: Mapping[str, object], keys: Mapping[str, str], where: str) -> str:
    """Tool calls, media or reasoning of a turn, with the name of the field; empty if there are none."""
    for names, what in ((CALLS, "a call of a tool"), (MEDIA, "more than text"), (THOUGHTS, "thoughts beside the text")):
        for key in names:
            if key in keys and not is_absent(turn[keys[key]]):
                return f"{where}.{keys[key]}: {what}; only text is read"
    return ""


def _unlearned(turn: Mapping[str, object], keys: Mapping[str, str], where: str) -> str:
    for key in WEIGHTS:
        if key in keys and not is_null(turn[keys[key]]) and turn[keys[key]] in (0, False):
            return f"{where}.{keys[key]}: {kind(turn[keys[key]])}, this turn is not to be learned"
    return ""


def _keys(turn: Mapping[str, object]) -> dict[str, str]:
    """The original field names of a turn, by their normal form."""
    return {normal(name): name for name in reversed(list(turn))}
