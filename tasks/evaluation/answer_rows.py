"""Reads rows with recorded answers, of this project or another tool, as rows with `prompt`, `response` and other known fields.

An answer is read like a server's reply (endpoints/completion.py): a string, content parts, a whole chat completion, or a row of OpenAI's
batch output. Thoughts are separated from the text; the finish reason is the server's or the tool's. Known formats: the stage predict,
chats as `messages`, lm-evaluation-harness's samples, inspect_ai's logs, evalscope's predictions and reviews. Any other row is used
unchanged. Checked with files of lm_eval 0.4.13, inspect_ai 0.3.285 and evalscope 1.14.1.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tasks.endpoints.completion import (
    THOUGHT_FIELDS,
    Content,
    ErrorInside,
    Unreadable,
    check_error,
    finish_reason,
    loads,
    read_content,
    read_message,
)
from tasks.evaluation.logs import FROM_LOG
from tasks.longbench.benchmark import BenchmarkRow
from tasks.text.thoughts import split_thoughts

RESPONSES = ("response", "output", "answer", "prediction", "completion", "generated_text")
PROMPTS = ("prompt", "instruction", "query")
_ENDINGS = ("finish_reason", "native_finish_reason", "stop_reason", "done_reason")

Row = Mapping[str, Any]


class Answered(NamedTuple):
    """A row with its answer read."""

    entry: BenchmarkRow  # its `response` is the text
    content: Content
    finish_reason: str  # empty: unknown
    model: str  # the model that answered; empty: unknown


def answers_in(entry: BenchmarkRow) -> Iterator[Answered]:
    """Yields every answer of a row, usually one. Raises BadInput for an answer that is not text, and for an error in place of an answer."""
    for row in _rows(entry.data):
        yield _answered(entry._replace(data=row))


def _answered(entry: BenchmarkRow) -> Answered:
    row = entry.data
    value: object = row
    field = next((name for name in RESPONSES if name in row), None)
    if field is None:
        if not any(isinstance(row.get(name), list | dict) for name in ("choices", "body")):
            raise entry.bad(RESPONSES[0], "missing field")
        field = RESPONSES[0]
    else:
        value = row[field]
    # A list of strings is refused: it may be parts, samples or paragraphs.
    strings = isinstance(value, list) and (not value or any(isinstance(part, str) for part in value))
    if not isinstance(value, str | list | dict) or strings:
        raise entry.bad(field, f"not a string: {value!r:.60}")
    try:
        content, ended = _read(value, beside=row)
    except ErrorInside as error:
        raise entry.bad(field, f"an error in place of an answer: {str(error)[:200]}", fix="ask for it again, or remove the line") from None
    except Unreadable as error:
        raise entry.bad(field, str(error)) from None
    if row.get("inline") is True and not content.inline:  # the stage predict already removed inline thoughts
        content = content._replace(inline=True)
    model = row.get("model") if "item" in row or FROM_LOG in row else ""
    data = {**row, "response": content.text}
    return Answered(entry._replace(data=data), content, ended or _ending(row), model if isinstance(model, str) else "")


def _ending(row: Row) -> str:
    return finish_reason({name: row.get(name) for name in _ENDINGS})


def _read(value: object, *, beside: Row) -> tuple[Content, str]:
    """An answer's text, thoughts and finish reason. Raises Unreadable or ErrorInside."""
    if isinstance(value, str):
        whole = _serialized(value)
        return _of_object(whole) if whole else (_text(value, beside), "")
    if isinstance(value, list):
        if value and all(isinstance(part, dict) and "generated_text" in part for part in value):
            return _text(str(value[0]["generated_text"]), beside), ""
        items = [part for part in value if isinstance(part, dict) and part.get("type") in ("message", "reasoning")]
        return (_of_items(items) if items else read_content(value, beside=_thoughts(beside))), ""
    assert isinstance(value, dict)
    return _of_object(value)


def _serialized(text: str) -> dict[str, Any] | None:
    """The whole reply of a server that was stored as a string of JSON. None for any other text: an answer may itself be JSON."""
    if not text.lstrip().startswith("{") or not any(f'"{name}"' in text for name in ("choices", "candidates")):
        return None
    try:
        value = loads(text.encode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    replies = next((value[name] for name in ("choices", "candidates") if name in value), None) if isinstance(value, dict) else None
    whole = isinstance(replies, list) and replies and isinstance(replies[0], dict) and {"message", "text", "content"} & set(replies[0])
    return value if whole else None


def _of_object(value: dict[str, Any]) -> tuple[Content, str]:
    """Reads a chat completion, a batch response with one, a message, or a reply of OpenAI's Responses API, Gemini, Bedrock or Ollama."""
    if isinstance(body := value.get("body"), dict):
        check_error(value)
        return _of_object(body)
    check_error(value)
    if isinstance(choices := value.get("choices"), list) and choices and isinstance(choices[0], dict):
        choice = choices[0]
        check_error(choice)
        if isinstance(message := choice.get("message"), dict):
            return read_message(message), finish_reason(choice)
        return read_content(choice.get("text"), beside=choice), finish_reason(choice)
    if isinstance(candidates := value.get("candidates"), list) and candidates and isinstance(candidates[0], dict):
        return _of_gemini(candidates[0])
    if isinstance(message := value.get("message"), dict):
        return read_message(message), _ending(value)
    if isinstance(output := value.get("output"), dict) and isinstance(message := output.get("message"), dict):  # Bedrock's Converse
        return read_message(message), str(value.get("stopReason") or "")
    if isinstance(text := value.get("response"), str) and "done" in value:  # Ollama's /api/generate
        return _text(text, value), _ending(value)
    if isinstance(output := value.get("output"), list):
        why = value.get("incomplete_details")
        return _of_items(output), str(why["reason"]) if isinstance(why, dict) and "reason" in why else str(value.get("status") or "")
    if any(name in value for name in ("content", "text", "completion")):
        content = next(value[name] for name in ("content", "text", "completion") if name in value)
        return read_content(content, beside=_thoughts(value)), _ending(value)
    raise Unreadable(f"an object without an answer that is known: its fields are {', '.join(map(str, list(value)[:6]))}")


def _of_gemini(candidate: dict[str, Any]) -> tuple[Content, str]:
    """Reads a candidate of Gemini's API: parts of text, some of which are thoughts."""
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list) or not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise Unreadable("a candidate without parts of text")
    typed = [{"type": "thinking", "thinking": part["text"]} if part.get("thought") is True else part for part in parts]
    return read_content(typed), str(candidate.get("finishReason") or "")


def _of_items(items: Sequence[object]) -> Content:
    """Reads the output items of OpenAI's Responses API: reasoning, and messages of parts."""
    parts: list[object] = []
    for item in items:
        if isinstance(item, dict) and item.get("type") == "message" and isinstance(item.get("content"), list):
            parts += item["content"]
        else:
            parts.append(item)
    return read_content(parts)


def _text(text: str, beside: Row) -> Content:
    """Reads a plain text answer and separates thoughts that are in it or in a field beside it."""
    if not any(isinstance(beside.get(name), str) and beside[name].strip() for name in THOUGHT_FIELDS):
        reasoning, said = split_thoughts(text)
        return Content(said, reasoning, bool(reasoning))
    return read_content(text, beside=_thoughts(beside))


def _thoughts(row: Row) -> Row:
    return {name: row[name] for name in THOUGHT_FIELDS if name in row}


def _rows(row: Row) -> Iterator[Row]:
    """Converts a row of a known format to plain rows; yields any other row unchanged."""
    if isinstance(item := row.get("item"), dict) and "prompt" in item and "response" in row:
        yield {**{name: item[name] for name in ("prompt", "length", "type", "id") if name in item}, **row}
    elif isinstance(doc := row.get("doc"), dict) and isinstance(row.get("resps"), list):
        asked = {} if any(name in doc for name in PROMPTS) else {"prompt": _sent(row.get("arguments"))}
        yield from (_with_prompt({**doc, **asked, "response": response}) for response in _flat(row["resps"]))
    elif FROM_LOG in row:
        yield _with_prompt(dict(row))
    elif isinstance(samples := row.get("samples"), list) and all(isinstance(one, dict) and "input" in one for one in samples):
        yield from (_with_prompt({**_known(one), "prompt": one["input"], "response": one.get("output")}) for one in samples)
    elif isinstance(output := row.get("model_output"), dict):
        yield _with_prompt({"prompt": row.get("messages"), **_known(row), "response": output, **_answered_by(row)})
    elif isinstance(row.get("messages"), list) and not any(name in row for name in PROMPTS):
        yield _of_chat(row)
    else:
        yield row


def _sent(arguments: object) -> object:
    """The prompt that lm-evaluation-harness sent: its first request's first argument; a chat is stored as a string of JSON."""
    first = next(iter(arguments.values()), None) if isinstance(arguments, dict) else None
    text = first.get("arg_0") if isinstance(first, dict) else None
    if isinstance(text, str) and text.lstrip().startswith("[{"):
        try:
            return loads(text.encode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            return text
    return text


def _answered_by(row: Row) -> dict[str, Any]:
    """The model that evalscope names beside each answer."""
    return {"model": row["model"], FROM_LOG: True} if isinstance(row.get("model"), str) else {}


def _flat(responses: Sequence[object]) -> Iterator[object]:
    for one in responses:
        yield from _flat(one) if isinstance(one, list) else [one]


def _known(row: Row) -> dict[str, Any]:
    """The fields of the benchmark's row that a tool keeps."""
    kept = row.get("metadata")
    own = {name: row[name] for name in ("id", "length", "type") if name in row}
    return {**own, **({name: kept[name] for name in ("prompt", "length", "type") if name in kept} if isinstance(kept, dict) else {})}


def _of_chat(row: Row) -> Row:
    """Reads a chat: the last turn is the answer to the user's turn before it, unless the row has the answer in another field."""
    *before, last = row["messages"] or [None]
    if not isinstance(last, dict) or last.get("role") != "assistant" or any(name in row for name in RESPONSES):
        return _with_prompt({**row, "prompt": row["messages"]})
    return _with_prompt({**row, "prompt": before, "response": {"message": last}, "finish_reason": row.get("finish_reason")})


def _with_prompt(row: dict[str, Any]) -> Row:
    """Replaces a prompt that is a list of turns by the text of the user's last turn."""
    if not isinstance(row.get("prompt"), list):
        return row
    asked = [turn for turn in row.pop("prompt") if isinstance(turn, dict) and turn.get("role") == "user"]
    try:
        return {**row, "prompt": read_content(asked[-1].get("content")).text} if asked else row
    except Unreadable:
        return row
