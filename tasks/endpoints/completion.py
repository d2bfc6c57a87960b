"""Reads chat completions: text, thoughts and usage from the body of a 200, for all roles and for recorded outputs.

Content may be a string, a list of parts, null or missing. Thoughts come in a separate field, in parts of their own, or in tags at the
start of the text (text/thoughts.py). They are separated from the text. An error may come in a 200 too. A body that is no completion raises
an error with its reason; it is never read as an empty reply.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from tasks.endpoints.refusals import one_line, reason, status_in
from tasks.schema.finish import Finish, finish_of
from tasks.text.thoughts import split_thoughts

THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking", "thoughts", "reasoning_text", "reasoning_details", "thinking_blocks")
_TEXT_PARTS = ("text", "output_text", "input_text", "refusal")
_THOUGHT_PARTS = ("thinking", "reasoning", "thought", "reasoning.text", "reasoning.summary", "summary_text", "reasoning_text")
_HIDDEN_PARTS = ("redacted_thinking", "reasoning.encrypted")  # encrypted thoughts
_WORDS = ("text", "thinking", "reasoning", "content", "summary", "refusal", "value")  # fields that may have a part's text
_DEPTH = 4  # levels of nested parts
_RAW = 40  # characters kept of a finish reason


class Unreadable(Exception):
    """A 200 with a body that is no chat completion: an HTML page, broken JSON, no choices."""


class NoText(Unreadable):
    """A chat completion with content that is not text: a picture, a number."""


class ErrorInside(Exception):
    """A 200 that contains an error. The message may be long. `status` is the HTTP status that the error names; None if it names none."""

    def __init__(self, problem: str, status: int | None):
        super().__init__(problem)
        self.status = status


class Content(NamedTuple):
    """The text and the thoughts of a message."""

    text: str
    reasoning: str  # the model's thoughts; empty: none, or not shown by the server
    inline: bool  # the thoughts were part of the text


class Completion(NamedTuple):
    """The parts of a chat completion that are used."""

    content: Content
    finish_reason: str  # the server's own word; empty if missing
    usage: object  # as sent by the server, of any shape


def read_completion(raw: bytes) -> Completion:
    """Reads the body of a 200. Raises Unreadable if it is no chat completion, ErrorInside if it contains an error."""
    try:
        body = loads(raw)
    except (ValueError, RecursionError):
        raise Unreadable(_no_completion(raw)) from None
    check_error(body)
    choice = _choice(body)
    if choice is None or not isinstance(message := choice.get("message"), dict) or not _is_message(message):
        raise Unreadable(_no_completion(raw))
    check_error(choice)
    finish = finish_reason(choice)
    if finish_of(finish) is Finish.FAILED:
        raise ErrorInside(f"the answer ended with finish_reason {finish!r}", None)
    return Completion(read_message(message), finish, body.get("usage"))


def read_message(message: Mapping[str, object]) -> Content:
    """Returns a message's text and thoughts. Without content, the text is the `refusal` field. Raises NoText for parts that are not
    text.
    """
    content = message.get("content")
    if content is None or content == "" or content == []:
        content = message.get("refusal") if isinstance(message.get("refusal"), str) else ""
    return read_content(content, beside=message)


def read_content(content: object, *, beside: Mapping[str, object] | None = None) -> Content:
    """Splits a message's content into text and thoughts. `beside` is the message itself: its other fields may have thoughts.

    Raises NoText, with its type, for a part that is neither text nor thoughts.
    """
    texts, thoughts = list[str](), list[str]()
    for is_thought, text in _parts(content):
        (thoughts if is_thought else texts).append(text)
    for field in THOUGHT_FIELDS:
        said = "".join(text for _, text in _thought_parts((beside or {}).get(field)))
        if said.strip() and said not in thoughts:
            thoughts.append(said)
    inline, text = split_thoughts("".join(texts), reasoned=any(part.strip() for part in thoughts))
    found = [part.strip() for part in (*thoughts, inline) if part.strip()]
    return Content(_encodable(text), _encodable("\n".join(dict.fromkeys(found))), bool(inline.strip()))


def pieces_of(delta: Mapping[str, object]) -> Iterator[tuple[bool, str]]:
    """Yields the parts of one event of a stream, as sent, each with a flag: is it a thought? Raises NoText as `read_content`."""
    yield from ((is_thought, text) for is_thought, text in _parts(delta.get("content")) if text)
    if isinstance(refusal := delta.get("refusal"), str) and refusal:
        yield False, refusal
    thoughts = ("".join(text for _, text in _thought_parts(delta.get(field))) for field in THOUGHT_FIELDS)
    yield from ((True, text) for text in dict.fromkeys(filter(None, thoughts)))


def finish_reason(choice: Mapping[str, object]) -> str:
    """Returns a choice's finish reason as the server sent it: the first known reason among four fields, else the first one, else empty."""
    said = [
        _encodable(value.strip())[:_RAW]
        for name in ("finish_reason", "native_finish_reason", "stop_reason", "done_reason")
        if isinstance(value := choice.get(name), str) and value.strip()
    ]
    return next((name for name in said if finish_of(name) is not Finish.UNKNOWN), said[0] if said else "")


def loads(raw: bytes) -> Any:
    """Parses JSON, also with a lone surrogate: orjson refuses it, Python's own parser accepts it. Raises ValueError or RecursionError."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        if b"\\ud" not in raw.lower():
            raise
        return json.loads(raw)


def _choice(body: object) -> dict[str, object] | None:
    """The first choice."""
    choices = body.get("choices") if isinstance(body, dict) else None
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None


def _is_message(message: Mapping[str, object]) -> bool:
    return any(field in message for field in ("role", "content", "refusal", "tool_calls", "function_call", *THOUGHT_FIELDS))


def check_error(body: object) -> None:
    """Raises ErrorInside if a body or a choice is an error or contains one."""
    if not isinstance(body, dict):
        return
    if body.get("error"):
        raise ErrorInside(reason(body["error"], at_most=0), status_in(body["error"]) or status_in(body))
    failed = body.get("object") == "error" or body.get("type") == "error" or body.get("success") is False
    if failed or ("choices" not in body and "message" not in body and any(body.get(name) for name in ("detail", "errors", "msg"))):
        raise ErrorInside(reason(body, at_most=0), status_in(body))
    if "choices" not in body and isinstance(body.get("message"), str) and status_in(body):
        raise ErrorInside(reason(body, at_most=0), status_in(body))


def _no_completion(raw: bytes) -> str:
    begins = one_line(raw[:2000].decode("utf-8", "replace"), at_most=0)
    shown = f"it begins: {begins}" if begins else "it is empty"
    return f"answered 200 with a body that is no chat completion; check the URL, it should end in /v1; {shown}"


def _parts(content: object, depth: int = _DEPTH) -> Iterator[tuple[bool, str]]:
    """Yields the texts of a content, each with a flag: is it a thought?"""
    match content:
        case None:
            return
        case str():
            yield False, content
        case list() if depth:
            for part in content:
                yield from _parts(part, depth - 1)
        case dict():
            yield from _part(content, depth)
        case _:
            raise NoText(f"the content is {type(content).__name__}, not text")


def _part(part: Mapping[str, object], depth: int) -> Iterator[tuple[bool, str]]:
    kind = part.get("type")
    if kind in _HIDDEN_PARTS:
        return
    if kind in _THOUGHT_PARTS or (kind is None and "thinking" in part) or (part.get("thought") is True and "text" in part):
        yield from _thought_parts(part, depth)
    elif kind in (*_TEXT_PARTS, None) and (words := _words(part)) is not None:
        yield from _parts(words, depth - 1)
    else:
        raise NoText(f"the content has a part of type {str(kind)[:40]!r}, which is no text")


def _thought_parts(value: object, depth: int = _DEPTH) -> Iterator[tuple[bool, str]]:
    """Yields thoughts from a string, from an object that contains them, or from a list of those."""
    if isinstance(value, str):
        yield True, value
    elif isinstance(value, Sequence) and depth:
        for part in value:
            yield from _thought_parts(part, depth - 1)
    elif isinstance(value, dict) and depth:
        yield from _thought_parts(_words(value), depth - 1)


def _words(part: Mapping[str, object]) -> object:
    """The field of a part that has its text; None without one."""
    return next((part[name] for name in _WORDS if isinstance(part.get(name), str | list | dict)), None)


def _encodable(text: str) -> str:
    """Replaces lone surrogates, which JSON can express and UTF-8 cannot. No stage has to handle them."""
    return text.encode("utf-8", "replace").decode("utf-8")
