"""The OpenAI chat completion API as bytes: what is sent, and what is made of what comes back."""

import json
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson

from tasks.endpoints.chat import OVERSIZE, Reply, Request
from tasks.redaction import redact
from tasks.schema.params import Model
from tasks.schema.records import Usage
from tasks.schema.urls import Url

BYTES_PER_TOKEN = 16  # far above any language's: what is longer than max_tokens of them is no answer
LONGEST_ERROR = 65536  # bytes of an error's body that are looked at


class Unreadable(Exception):
    """A 200 whose body is no completion: a proxy's HTML page, broken JSON, missing choices."""


def body(request: Request, model: Model, *, name: str, seed: int | None) -> bytes:
    """The request's JSON. A sample index of its own becomes a seed of its own."""
    body: dict[str, Any] = {
        "model": name,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "temperature": model.temperature,
        "max_tokens": model.max_tokens,
    }
    if seed is not None or request.sample:
        body["seed"] = (seed or 0) + request.sample
    if request.schema:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": request.schema, "strict": True}}
    return orjson.dumps(body)


async def read(response: aiohttp.ClientResponse, *, at_most: int) -> bytes | None:
    """The body; None if it is longer than `at_most` bytes, of which no more are read."""
    chunks, length = [], 0
    async for chunk in response.content.iter_any():
        length += len(chunk)
        if length > at_most:
            response.close()
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def reply(raw: bytes | None, *, max_tokens: int, seconds: float, charged: Callable[[object, str], Usage]) -> Reply:
    """A completion's body as a Reply; None was too long to be one. Raises Unreadable.

    `charged` makes tokens of what the body has as `usage`, and of the text.
    """
    if raw is None:
        return Reply("", OVERSIZE, Usage(0, max_tokens), seconds)
    try:
        completion = _loads(raw)
        choice = completion["choices"][0]
        content = choice["message"].get("content") or ""
        usage = completion.get("usage")
        finish = _encodable(str(choice.get("finish_reason") or "stop"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, OverflowError):
        raise Unreadable("answered 200 with a body that is no chat completion; check the URL, it should end in /v1") from None
    text = _encodable(str(content))
    return Reply(text, finish, charged(usage, text), seconds)


def model_names(raw: bytes | None) -> list[str] | None:
    """The ids in a list of models; None if it is none."""
    try:
        return [str(model["id"]) for model in orjson.loads(raw or b"")["data"]]
    except (ValueError, KeyError, TypeError):
        return None


def _loads(raw: bytes) -> Any:
    """JSON; also with a lone surrogate in it, which orjson refuses and Python's own parser takes."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        if b"\\ud" not in raw.lower():
            raise
        return json.loads(raw)


def _encodable(text: str) -> str:
    """A lone surrogate can be spelled in JSON and not in UTF-8: replaced here, so that no stage ever meets one."""
    return text.encode("utf-8", "replace").decode("utf-8")


def message(raw: bytes) -> str:
    """What the endpoint says is wrong, short."""
    try:
        error = orjson.loads(raw).get("error")
        said = error.get("message") if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        said = raw[:LONGEST_ERROR].decode("utf-8", "replace")
    return redact(" ".join(str(said or "no reason given").split()))[:200]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3)."""
    try:
        if said := headers.get("retry-after-ms"):
            return max(0.0, float(said) / 1000)
        if not (said := headers.get("Retry-After")):
            return None
        if said.replace(".", "", 1).isdigit():
            return float(said)
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


class Proxy(NamedTuple):
    """As aiohttp takes it."""

    url: str | None
    auth: aiohttp.BasicAuth | None = None


def proxy_of(url: Url) -> Proxy:
    """The proxy that the environment names for a URL (HTTPS_PROXY, HTTP_PROXY, NO_PROXY); never one for loopback."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127.") or proxy_bypass(host) or not (named := getproxies().get(parts.scheme)):
        return Proxy(None)
    proxy = Url(named)
    user, _, password = proxy.user_info.get_secret_value().partition(":")
    return Proxy(str(proxy), aiohttp.BasicAuth(user, password, "utf-8") if user else None)


def shown(url: str) -> str:
    """A URL fit for a message: without a password in it and without its query, which may hold a token."""
    return redact(Url(url))
