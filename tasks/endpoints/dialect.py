"""Learns from refusals what an endpoint does not support. Requests are first sent in the fullest form, then without what was refused.

What was learned is kept for a day in a file of the workspace, because each stage of a run is a process of its own.

Only the form of a request changes, not what its completion means. A refused temperature is an error unless it is 1, the value that
endpoints use by default.
"""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import orjson

from tasks import store
from tasks.endpoints import thoughts
from tasks.endpoints.chat import Request
from tasks.endpoints.refusals import message
from tasks.schema.errors import BadInput
from tasks.schema.records import ByName, Message, Reasoning, Record
from tasks.schema.urls import Url

Form = Literal["json_schema", "json_object", "prompt"]
Streams = Literal["usage", "plain", "no"]  # with token counts at the end, without them, not at all
Body = dict[str, object]  # JSON body of a request

STATUSES = (400, 404, 415, 422, 500, 501)  # HTTP statuses of a refusal that may be about a field
FILE = "endpoints.json"  # under settings.home
REMEMBERED = 24 * 3600  # seconds; an endpoint may later support what it refused
IN_PROMPT = "\n\nAnswer with one JSON object that follows this JSON schema, and with nothing else:\n"
_READ = 4000  # bytes of a refusal that are searched for a field
_NEAR = 120  # characters allowed between the field and the words that refuse it
_REFUSED = (
    r"unsupported|n[o']t (?:yet )?(?:be )?(?:support|work|compatible|enabled)|incompatible|does not exist"
    r"|un(?:known|recogni[sz]ed|expected|available)|not (?:permitted|allowed|accepted|available|implemented|recogni[sz]ed|known|one of)"
    r"|extra (?:inputs?|fields?|parameters?)|extra_forbidden|extraneous|invalid (?:parameter|param|argument|field|option|schema)"
    r"|not a valid|can(?:not|'t) be used|input should be|literal_error|only (?:the )?(?:default|supports?)"
    r"|no longer|deprecated|removed?\b|disallowed"
)
_VALUE = re.compile(
    r"too (?:large|long|big|high|many)|context (?:length|window|size)|maximum|exceed|at most|(?:less|greater) than|between|out of range",
    re.I,
)
_FORM = r"response_format|output_(?:config|format)|json_schema|json_object|structured[ _]outputs?|guided_json|guided[ _]decoding|grammar"


class Dialect(NamedTuple):
    """The form of requests to one endpoint."""

    tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: bool = True
    temperature: bool = True
    form: Form = "json_schema"
    streams: Streams = "usage"
    refused: tuple[str, ...] = ()  # fields of a setting for thoughts (thoughts.py) that are not sent


class _Note(Record):
    """What was learned about one endpoint and model."""

    dialect: Dialect
    learned: float  # seconds since 1970


class Learned(NamedTuple):
    """The dialect to use after a refusal."""

    dialect: Dialect
    said: str  # what changes, as a message


class NoTemperature(Exception):
    """The endpoint accepts only its default temperature."""


class NoReasoning(Exception):
    """The endpoint takes no field of the setting for thoughts."""


def recall(home: Path, url: Url, model: str) -> Dialect:
    """Returns what an earlier process learned about an endpoint; the fullest form if nothing is known."""
    note = _notes(home / FILE).get(_name(url, model))
    return note.dialect if note else Dialect()


def remember(home: Path, url: Url, model: str, dialect: Dialect) -> None:
    """Stores what was learned about an endpoint for later processes."""
    store.private_folder(home)
    note = _Note(dialect=dialect, learned=time.time())
    store.write_json(home / FILE, ByName[_Note]({**_notes(home / FILE), _name(url, model): note}))


def _notes(path: Path) -> dict[str, _Note]:
    """Notes that are younger than a day. Empty for a missing or damaged file: its content is learned again."""
    try:
        found = store.read_document(path, ByName[_Note]).root
    except BadInput:
        return {}
    return {name: note for name, note in found.items() if 0 <= time.time() - note.learned < REMEMBERED}


def _name(url: Url, model: str) -> str:
    """The note's name. `Url` has no credentials and no query."""
    return f"{model} at {url}"


def write(body: Body, dialect: Dialect, request: Request) -> Body:
    """Returns the request's JSON in the endpoint's dialect. `body` has max_tokens, temperature and perhaps a seed; the messages are
    added.
    """
    written = {(dialect.tokens if name == "max_tokens" else name): value for name, value in body.items()}
    if not dialect.seed:
        written.pop("seed", None)
    if not dialect.temperature:
        written.pop("temperature", None)
    if request.schema is None or dialect.form == "json_schema":
        written["messages"] = _messages(request.messages)
    elif request.fallback:
        written["messages"] = _messages(request.fallback)
    else:
        *before, last = request.messages
        written["messages"] = _messages((*before, _with_schema(last, request.schema)))
    if request.schema is not None and dialect.form == "json_schema":
        form = {"name": "reply", "schema": request.schema, "strict": True}
        written["response_format"] = {"type": "json_schema", "json_schema": form}
    elif request.schema is not None and dialect.form == "json_object" and not request.fallback:
        written["response_format"] = {"type": "json_object"}
    return written


def _with_schema(message: Message, schema: Mapping[str, object]) -> Message:
    """The message with the schema of the reply appended."""
    return Message(role=message.role, content=message.content + IN_PROMPT + orjson.dumps(schema).decode())


def _messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def streamed(body: Body, dialect: Dialect) -> Body:
    """Returns the request's JSON with the fields that ask for a stream, as far as the endpoint takes them."""
    if dialect.streams == "no":
        return body
    return body | {"stream": True} | ({"stream_options": {"include_usage": True}} if dialect.streams == "usage" else {})


def learn(
    dialect: Dialect,
    raw: bytes,
    request: Request,
    *,
    status: int,
    temperature: float,
    seed: bool,
    stream: bool = False,
    reasoning: Reasoning | None = None,
) -> Learned | None:
    """Returns what a refusal of a request in `dialect` says is not supported; None if no other form would help.

    `seed`, `stream`: whether a seed was sent, and whether a stream was asked for. Raises NoTemperature if the endpoint accepts only its
    default and `temperature` is another one; NoReasoning if it takes no field of the setting `reasoning`.
    """
    if status not in STATUSES:
        return None
    said, param = _said(raw)
    if dialect.tokens == "max_tokens" and _names_max_tokens(said, param):
        return Learned(dialect._replace(tokens="max_completion_tokens"), "it takes no max_tokens: max_completion_tokens is sent instead")
    if stream and dialect.streams == "usage" and _refuses(r"stream_options|include_usage", said, param):
        return Learned(dialect._replace(streams="plain"), "it takes no stream_options: its streams have no token counts")
    if stream and dialect.streams != "no" and _refuses(r"\bstream(?:ing)?\b", said, param):
        return Learned(dialect._replace(streams="no"), "it does not stream: each answer comes as a whole")
    for name in thoughts.fields(reasoning, dialect.refused):
        if _refuses(rf"\b{name}\b", said, param):
            refused = (*dialect.refused, name)
            if not thoughts.fields(reasoning, refused):
                raise NoReasoning(message(raw))
            return Learned(dialect._replace(refused=refused), f"it takes no {name}: the setting for thoughts is sent without it")
    formed = request.schema is not None and (dialect.form == "json_schema" or (dialect.form == "json_object" and not request.fallback))
    if formed and _refuses_form(said, param, status):
        return _narrower(dialect, free_text=bool(request.fallback))
    if dialect.seed and seed and _refuses(r"\bseed\b", said, param):
        return Learned(dialect._replace(seed=False), "it takes no seed: none is sent, so its draws cannot be repeated")
    if dialect.temperature and _refuses(r"\btemperature\b", said, param):
        if temperature != 1:
            raise NoTemperature(message(raw))
        return Learned(dialect._replace(temperature=False), "it takes no temperature: none is sent, which is its default, 1")
    return None


def _narrower(dialect: Dialect, *, free_text: bool) -> Learned:
    if dialect.form == "json_schema":
        said = "it takes no JSON schema: the schema is put into the prompt, and a JSON object is asked for"
        if free_text:
            said = "it takes no JSON schema: free text is asked for instead"
        return Learned(dialect._replace(form="json_object"), said)
    return Learned(dialect._replace(form="prompt"), "it takes no response_format: the schema is in the prompt alone")


def _said(raw: bytes) -> tuple[str, str]:
    """The text of a refusal, and the parameter that its `param` field names."""
    text = raw[:_READ].decode("utf-8", "replace")
    try:
        body = orjson.loads(raw)
    except ValueError:
        return text, ""
    error = body.get("error", body) if isinstance(body, dict) else body
    param = error.get("param") if isinstance(error, dict) else None
    return text, param if isinstance(param, str) else ""


def _names_max_tokens(said: str, param: str) -> bool:
    """Whether a refusal is about the field's name. A refusal about its value, which names both fields too, is not."""
    if _VALUE.search(said) and not re.search(r"unsupported|unrecogni[sz]ed|unknown|not (?:permitted|supported)", said, re.IGNORECASE):
        return False
    if "max_tokens" not in said and param != "max_tokens":
        return False
    return "max_completion_tokens" in said or bool(re.search(_REFUSED, said, re.IGNORECASE))


def _refuses(field: str, said: str, param: str) -> bool:
    """Whether a refusal is about a field, not about its value: `param` names the field, or the field is near words that refuse it."""
    if _VALUE.search(said):
        return False
    if param:
        return bool(re.search(field, param))
    near = rf"(?:{field}).{{0,{_NEAR}}}?(?:{_REFUSED})|(?:{_REFUSED}).{{0,{_NEAR}}}?(?:{field})"
    return bool(re.search(near, said, re.IGNORECASE | re.DOTALL))


def _refuses_form(said: str, param: str, status: int) -> bool:
    """Whether a refusal is about the reply's format. With 400 or 422 the name is enough; a server error must also say it is refused."""
    if status in (400, 422):
        return bool(re.search(_FORM, param or said, re.IGNORECASE))
    return _refuses(_FORM, said, param)
