"""The OpenAI chat completion API as bytes: what is sent, and what is made of what comes back."""

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson

from tasks.endpoints.chat import Reply, Request
from tasks.endpoints.completion import read_completion
from tasks.endpoints.dialect import Body, Dialect, write
from tasks.schema.params import Model
from tasks.schema.records import Usage
from tasks.schema.redaction import redact
from tasks.schema.urls import Url

BYTES_PER_TOKEN = 16  # far above any language's: what is longer than max_tokens of them is no answer


def body(request: Request, model: Model, *, name: str, seed: int | None, dialect: Dialect = Dialect()) -> bytes:
    """The request's JSON. A sample index of its own becomes a seed of its own."""
    body: Body = {"model": name, "messages": [], "temperature": model.temperature, "max_tokens": model.max_tokens}
    if seed is not None or request.sample:
        body["seed"] = (seed or 0) + request.sample
    return orjson.dumps(write(body, dialect, request))


async def read(response: aiohttp.ClientResponse, *, at_most: int) -> bytes | None:
    """The body; None if it is longer than `at_most` bytes: then no more of it is read, and the connection is closed."""
    chunks, length = [], 0
    async for chunk in response.content.iter_any():
        length += len(chunk)
        if length > at_most:
            response.close()
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def reply(raw: bytes, *, role: str, seconds: float, charged: Callable[[object, str], Usage]) -> Reply:
    """A completion's body as a Reply. Raises Unreadable and ErrorInside, as `read_completion`.

    `charged` makes tokens of what the body has as `usage`, and of what was written.
    """
    content, finish, usage = read_completion(raw)
    tokens = charged(usage, content.text or content.reasoning)
    return Reply(content.text, finish, tokens, seconds, content.reasoning, content.inline, role)


def model_names(raw: bytes | None) -> list[str] | None:
    """The ids in a list of models; None if it is none."""
    try:
        return [str(model["id"]) for model in orjson.loads(raw or b"")["data"]]
    except (ValueError, KeyError, TypeError):
        return None


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
