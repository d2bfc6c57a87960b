"""Read a row of any public format: its prompt (`raw_prompt_of`) or its whole conversation (`messages_of`). All rows are read here.

A row has its turns in one column (`messages`, `conversation` of WildChat and LMSYS, `conversations` of ShareGPT, …; formats:
turns.py), or a prompt (`prompt`, `instruction`, `question`, …) and an answer. Other columns have these meanings:

- `system` is the system turn, `history` the earlier turns; `input`, `context` and `passage` follow the prompt after a blank line.
- `tools`, images and other media, and texts with an unknown meaning cannot be used. The column is named: in `Ask.lacks` for a
  prompt, in a Misfit for a conversation.
- `<noinput>`, `nan`, `None` and null count as missing.

The prompt is the first user turn; later turns are ignored, and earlier turns of another role are allowed.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from tasks.schema.records import Message
from tasks.sources.turns import MEDIA, Misfit, SourceTurn, decoded, is_absent, is_null, is_turns, kind, normal, plain, text_of, turns_of

_LISTS = ("conversation", "messages", "conversations")
_DIALOGUES = ("dialogue", "dialog", "data")  # ambiguous names, tried last
TURNS = (*_LISTS, *_DIALOGUES)
TEXTS = ("prompt", "instruction", "query", "question", "task", "input", "human", "user")
FIELDS = (*_LISTS, *TEXTS, *_DIALOGUES)
OF_ADAPTER: Mapping[str, tuple[str, ...]] = {
    "auto": FIELDS,
    "wildchat": ("conversation",),
    "lmsys": ("conversation",),
    "sharegpt": ("conversations",),
    "messages": ("messages",),
    "alpaca": ("instruction",),
    "prompt": ("prompt", "query", "question", "task"),
}
ANSWERS = ("output", "response", "completion", "answer", "assistant", "gpt", "bot")
SYSTEM = ("system", "system_prompt", "system_message", "systemprompt", "sys_prompt")
HISTORY = ("history", "chat_history", "conversation_history", "dialogue_history")
INPUTS = ("input", "context")
MATERIAL = ("passage", "document", "article", "background")  # a short value is a title or a key
REQUESTS = ("prompt", "instruction", "query", "question")  # with two of them, both are used or the row is ambiguous
TOOLS = ("tools", "functions", "tool_definitions", "available_tools")
BESIDE = frozenset((*SYSTEM, *HISTORY, *INPUTS, *MATERIAL, *REQUESTS, *TOOLS, *MEDIA, "toxic", "openai_moderation", "label"))
_TITLE = 40  # characters; a MATERIAL column up to this length is a title or a key
_NO_OUTPUT = frozenset(("nan", "<nooutput>", "<no output>"))


class RawPrompt(NamedTuple):
    """A prompt as the source has it."""

    text: str
    toxic: bool = False
    lacks: str = ""  # why the prompt is incomplete, with the field: null, an image, earlier turns, tools; empty: complete
    system: str = ""  # the system prompt


class _Row:
    """The columns of a row, case-insensitive. `named`: the columns that hold the messages, the prompt or the response."""

    def __init__(self, row: Mapping[str, object], named: Mapping[str, str]) -> None:
        self._row = row
        self._names = {normal(name): name for name in reversed(list(row)) if name not in named.values()}
        for role, others in (("prompt", REQUESTS), ("response", ANSWERS)):
            if role in named:
                self._names = {name: own for name, own in self._names.items() if name not in others}
        self._names |= named

    def name(self, column: str) -> str:
        return self._names.get(column, column)

    def has(self, column: str) -> bool:
        return column in self._names

    def get(self, column: str) -> object:
        name = self._names.get(column)
        return None if name is None else self._row.get(name)

    def first(self, columns: tuple[str, ...]) -> str | None:
        """The first of these columns that has a value, or None."""
        return next((column for column in columns if self.has(column) and not is_absent(self.get(column))), None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)


def raw_prompt_of(row: Mapping[str, object], adapter: str = "auto") -> RawPrompt:
    """The first user turn with the system prompt; an empty text if there is no user turn. Raises Misfit for an unreadable row."""
    read = _Row(row, {})
    toxic = _flag(read, "toxic") or _moderated(read)
    field = _field(read, adapter)
    told = [text for _, text in _system(read)]
    for turn in _asked(read, field):
        if turn.role == "system":
            told.append(turn.text)
        elif turn.role == "user":
            lacks = turn.lacks or _unused(read, field, turn.text) or _earlier(read)
            return RawPrompt(turn.text, toxic, lacks, "\n\n".join(dict.fromkeys(filter(None, told))))
    return RawPrompt("", toxic)


def messages_of(row: Mapping[str, object], adapter: str = "auto", *, named: Mapping[str, str] | None = None) -> tuple[Message, ...]:
    """All messages of the conversation, or the prompt and the answer, with standard role names. Raises Misfit if anything is unusable.

    `named`: the user's choice of columns for `messages`, `prompt` or `response`.
    """
    read = _Row(row, named or {})
    field = _field(read, adapter)
    told = [SourceTurn("system", text, name) for name, text in _system(read)]
    history = read.first(HISTORY)
    before = turns_of(read.get(history), read.name(history)) if history else iter(())
    turns = list(chain(told, before, _whole(read, field)))
    said = "\n".join(turn.text for turn in turns)
    if lacks := next((turn.lacks for turn in turns if turn.lacks), "") or _unused(read, field, said):
        raise Misfit(lacks)
    if read.get("label") is False:
        raise Misfit(f"{read.name('label')}: false, the answer is one that was refused")
    if told and (own := next((turn for turn in turns[1:] if turn.role == "system"), None)):
        if own.text.strip() != told[0].text.strip():
            raise Misfit(f"{told[0].where}: a text beside the system turn {own.where}; one of them is wanted")
        turns = turns[1:]
    return tuple(Message.model_validate({"role": turn.role, "content": turn.text}) for turn in turns)


def _field(row: _Row, adapter: str) -> str:
    """The column with the turns or the prompt. Raises Misfit if there is none or all are null."""
    fields = OF_ADAPTER[adapter]
    if found := row.first(fields) or next((field for field in fields if not is_null(row.get(field))), None):
        return found
    if null := next((field for field in fields if row.has(field)), None):
        raise Misfit(f"{row.name(null)}: null, {'a list of turns' if null in TURNS else 'a text'} is wanted")
    there = ", ".join(list(row)[:8])
    raise Misfit(f"missing field: none of {', '.join(fields)}; there are {there}" if there else "an empty row")


def _asked(row: _Row, field: str) -> Iterator[SourceTurn]:
    """All turns of a turns column, or the prompt as one turn."""
    value, name = plain(row.get(field)), row.name(field)
    if field in TURNS or is_turns(value):
        yield from turns_of(value, name)
    else:
        yield _request(row, field)


def _whole(row: _Row, field: str) -> Iterator[SourceTurn]:
    value = decoded(row.get(field))
    if field in TURNS:
        yield from turns_of(value, row.name(field))
        return
    answer = next((name for name in ANSWERS if not is_null(row.get(name))), None)
    if not is_turns(value):
        yield _request(row, field)
        yield from _answer(row, answer)
    elif isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        yield from _rounds(row, field, list(value), answer)
    else:
        turns = list(turns_of(value, row.name(field)))
        yield from turns
        if turns[-1].role != "assistant":
            yield from _answer(row, answer)


def _answer(row: _Row, name: str | None) -> Iterator[SourceTurn]:
    if name is None:
        if null := next((column for column in ANSWERS if row.has(column)), None):
            raise Misfit(f"{row.name(null)}: null, a text is wanted")
        raise Misfit(f"missing field: none of {', '.join(ANSWERS)}; there are {', '.join(list(row)[:8])}")
    value = decoded(row.get(name))
    if isinstance(value, list | tuple) and value and isinstance(plain(value[0]), Mapping):
        yield from turns_of(value, row.name(name))
    else:
        text = text_of(plain(row.get(name)), row.name(name))
        yield SourceTurn("assistant", "" if text.strip().lower() in _NO_OUTPUT else text, row.name(name))


def _rounds(row: _Row, field: str, asked: list[str], answer: str | None) -> Iterator[SourceTurn]:
    """Turns from a list of prompts and a list of answers. Raises Misfit if the lengths differ."""
    answers = decoded(row.get(answer)) if answer else None
    if answer is None or not isinstance(answers, list | tuple) or len(answers) != len(asked):
        wanted = f"a list of {len(asked)} answers"
        raise Misfit(f"{row.name(answer or 'response')}: {wanted} is wanted, one to each text of {row.name(field)}")
    for place, (request, reply) in enumerate(zip(asked, answers, strict=True)):
        yield SourceTurn("user", request, f"{row.name(field)}.{place}")
        yield SourceTurn("assistant", text_of(reply, f"{row.name(answer)}.{place}"), f"{row.name(answer)}.{place}")


def _request(row: _Row, field: str) -> SourceTurn:
    """The prompt followed by its material; text that is already contained is not added again. Raises Misfit."""
    value, name = plain(row.get(field)), row.name(field)
    if is_absent(value):
        return SourceTurn("user", "", name, f"{name}: no text, got {kind(value)}")
    text = text_of(value, name)
    more = REQUESTS[2:] if field == "instruction" else ()
    for column in (*more, *INPUTS, *MATERIAL):
        if column != field and _counts(row, column):
            given = text_of(plain(row.get(column)), row.name(column))
            text += "" if given.strip() in text else f"\n\n{given}"
    return SourceTurn("user", text, name)


def _counts(row: _Row, column: str) -> bool:
    value = row.get(column)
    return not is_absent(value) and not (column in MATERIAL and isinstance(value, str) and len(value.strip()) <= _TITLE)


def _system(row: _Row) -> list[tuple[str, str]]:
    """Name and text of the system column; empty list if there is none. Raises Misfit if it is not a text."""
    column = row.first(SYSTEM)
    return [(row.name(column), text_of(plain(row.get(column)), row.name(column)))] if column else []


def _earlier(row: _Row) -> str:
    history = row.first(HISTORY)
    return f"{row.name(history)}: earlier turns, on which the request depends" if history else ""


def _unused(row: _Row, field: str, said: str) -> str:
    """The name of the first other column that cannot be used, with the reason; empty if there is none. `said`: the texts in use."""
    if tools := row.first(TOOLS):
        return f"{row.name(tools)}: tools that the model may call; only text is read"
    if media := row.first(MEDIA):
        return f"{row.name(media)}: more than text; only text is read"
    with_turns = field in TURNS or is_turns(row.get(field))
    beside = (*INPUTS, *MATERIAL) if with_turns else REQUESTS
    for column in beside:
        if column == field or not _counts(row, column):
            continue
        value = plain(row.get(column))
        if not (isinstance(value, str) and value.strip() in said):
            return f"{row.name(column)}: {kind(value)} beside {row.name(field)}; it is not known where it belongs"
    return ""


def _moderated(row: _Row) -> bool:
    """Whether the moderation result of the first turn is `flagged`. LMSYS has this instead of a toxicity flag."""
    verdicts = plain(row.get("openai_moderation"))
    first = verdicts[0] if isinstance(verdicts, list) and verdicts else None
    return isinstance(first, dict) and first.get("flagged") is True


def _flag(row: _Row, field: str) -> bool:
    value = row.get(field)
    if not is_null(value) and not isinstance(value, bool):
        raise Misfit(f"{field}: true or false is wanted, got {kind(value)}")
    return value is True
