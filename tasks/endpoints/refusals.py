"""Reads refusals of endpoints: the reason in one line, and the HTTP status that it names."""

import html
import re
from collections.abc import Iterator, Mapping

import orjson

from tasks.schema.redaction import redact

SHOWN = 200  # characters of a reason
_READ = 20_000  # characters of a body that are read
_DEPTH = 7  # nesting levels of objects, lists and JSON in strings
_REASONS = (
    "message",
    "msg",
    "detail",
    "details",
    "error_description",
    "description",
    "error_msg",
    "errorMessage",
    "error_message",
    "Message",
    "faultstring",
    "reason",
    "raw",
    "metadata",
    "error",
    "errors",
    "fault",
    "title",
    "code",
    "type",
    "status",
)
_STATUS_FIELDS = ("code", "status", "status_code", "statusCode", "http_status", "error_code", "type")
_STATUSES = (  # status by parts of a code or type; the first match counts
    (
        429,
        ("rate_limit", "ratelimit", "too_many", "toomany", "throttl", "quota", "resource_exhausted", "resourceexhausted", "tpm_", "rpm_"),
    ),
    (503, ("overload", "unavailable", "capacity", "busy")),
    (401, ("authentication", "unauthenticated", "unauthorized", "invalid_api_key", "invalid_key", "incorrect_api_key", "invalidapikey")),
    (403, ("permission", "forbidden", "access_denied")),
    (404, ("not_found", "notfound")),
    (408, ("timeout", "deadline")),
    (400, ("invalid_request", "bad_request", "badrequest", "invalid_argument", "context_length", "unsupported", "content_filter")),
    (500, ("server_error", "internal", "api_error", "upstream")),
)
_FILTER = re.compile(
    rb"content_filter|content_policy|data_inspection_failed|responsible_?ai|content management policy|safety system"
    rb"|(?:input|prompt) was flagged",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?:^|\b(?:error|code|status|http)\D{0,10})([45]\d\d)\b", re.IGNORECASE)
_TITLE = re.compile(r"<(title|h1|h2)\b[^>]{0,200}>([^<]{1,400})", re.IGNORECASE)
_TAG = re.compile(r"<(?:script|style)\b[^>]{0,200}>.{0,2000}?</(?:script|style)>|<[^<>]{0,400}>", re.IGNORECASE | re.DOTALL)


def message(raw: bytes) -> str:
    """Returns the reason in a body as one line, which may be long."""
    try:
        said = reason(orjson.loads(raw), at_most=0)
    except ValueError:
        said = one_line(_plain(raw[: 4 * _READ].decode("utf-8", "replace")), at_most=0)
    return said or "no reason given"


def shown(said: str) -> str:
    """Returns an endpoint's words for a message: secrets are masked first, then the text is cut."""
    return one_line(redact(one_line(said, at_most=0)))


def is_filter(raw: bytes) -> bool:
    """Whether a refusal comes from a content filter and thus concerns this request only."""
    return bool(_FILTER.search(raw, 0, _READ))


def reason(body: object, *, at_most: int = SHOWN) -> str:
    """Returns the reason in an error's JSON at any depth; empty if there is none."""
    return one_line("; ".join(dict.fromkeys(_reasons(body, _DEPTH))), at_most=at_most)


def one_line(text: str, *, at_most: int = SHOWN) -> str:
    """Folds white space, removes control characters, cuts to `at_most` characters; 0: not cut."""
    flat = " ".join("".join(sign if sign.isprintable() else " " for sign in text[:_READ]).split())
    return flat if not at_most or len(flat) <= at_most else f"{flat[: at_most - 1]}…"


def status_in(error: object) -> int | None:
    """Returns the HTTP status that an error's JSON names by its code, type or words; None if it names none."""
    if isinstance(error, list):
        return next(filter(None, map(status_in, error[:1])), None)
    if isinstance(error, str):
        return _status_in_words(error)
    if not isinstance(error, dict):
        return None
    values = [error[name] for name in _STATUS_FIELDS if name in error]
    for value in values:
        if isinstance(value, int | str) and not isinstance(value, bool) and re.fullmatch(r"[45]\d\d", str(value).strip()):
            return int(value)
    named = next(filter(None, (_status_by_name(value) for value in values if isinstance(value, str))), None)
    return named or next(filter(None, (_status_in_words(error[name]) for name in ("message", "msg", "detail") if name in error)), None)


def _status_by_name(name: str) -> int | None:
    folded = re.sub(r"[\s-]+", "_", name.lower())
    return next((status for status, parts in _STATUSES if any(part in folded for part in parts)), None)


def _status_in_words(text: object) -> int | None:
    match = _NUMBER.search(text[:400]) if isinstance(text, str) else None
    return int(match[1]) if match else None


def _reasons(value: object, depth: int) -> Iterator[str]:
    """Yields the reason from the most specific field of an object; from a list, the reasons of its first three items."""
    if isinstance(value, str):
        yield from _in_text(value, depth)
    elif isinstance(value, list) and depth:
        for one in value[:3]:
            yield from _reasons(one, depth - 1)
    elif isinstance(value, dict) and depth:
        yield from _in_object(value, depth)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)


def _in_object(value: Mapping[str, object], depth: int) -> Iterator[str]:
    if isinstance(place := value.get("loc"), list) and isinstance(value.get("msg"), str):  # FastAPI's validation errors
        yield f"{'.'.join(str(step) for step in place if step != 'body')}: {value['msg']}".removeprefix(": ")
        return
    for name in _REASONS:
        found = [said for said in _reasons(value.get(name), depth - 1) if said.strip()]
        if found:
            yield from found
            # A router's message is general; the message of the server behind it is in metadata.raw.
            upstream = value.get("metadata")
            if name == "message" and isinstance(upstream, dict):
                yield from _reasons(upstream.get("raw"), depth - 1)
            return


def _in_text(value: str, depth: int) -> Iterator[str]:
    """Yields a text; if the text is JSON, yields the reasons in it."""
    if depth and value.lstrip()[:1] in ("{", "[") and len(value) < _READ:
        try:
            inner = list(_reasons(orjson.loads(value), depth - 1))
        except ValueError:
            inner = []
        if inner:
            yield from inner
            return
    yield _plain(value)


def _plain(text: str) -> str:
    """Returns a text without markup; for an HTML page, its title."""
    if "<" not in text:
        return text
    found = [html.unescape(match[2]).strip() for match in _TITLE.finditer(text[:_READ]) if match[2].strip()]
    if found:
        return found[0]
    return html.unescape(_TAG.sub(" ", text)) if re.match(r"\s*<(?:!doctype|html|\?xml|body|head|center|pre|div|p)\b", text, re.I) else text
