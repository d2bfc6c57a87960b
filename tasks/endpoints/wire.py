"""The OpenAI chat completion API as bytes: builds request bodies, reads responses, headers and proxies."""

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
from tasks.endpoints.dialect import Body, Dialect, streamed, write
from tasks.endpoints.thoughts import fields
from tasks.schema.params import Model
from tasks.schema.records import Usage
from tasks.schema.redaction import redact
from tasks.schema.urls import Url

BYTES_PER_TOKEN = 16  # far above any language: a body of more than max_tokens times this is no completion


def body(request: Request, model: Model, *, name: str, seed: int | None, dialect: Dialect = Dialect(), stream: bool = False) -> bytes:
    """Returns the request's JSON. The sample index is added to the seed. `stream`: the reply should come in pieces."""
    body: Body = {"model": name, "messages": [], "temperature": model.temperature, "max_tokens": model.max_tokens}
    if seed is not None or request.sample:
        body["seed"] = (seed or 0) + request.sample
    body |= fields(model.reasoning, dialect.refused)
    written = write(body, dialect, request)
    return orjson.dumps(streamed(written, dialect) if stream else written)


async def read(response: aiohttp.ClientResponse, *, at_most: int) -> bytes | None:
    """Returns the body. If it is longer than `at_most` bytes, closes the connection and returns None."""
    chunks, length = [], 0
    async for chunk in response.content.iter_any():
        length += len(chunk)
        if length > at_most:
            response.close()
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def reply(raw: bytes, *, role: str, seconds: float, charged: Callable[[object, str], Usage]) -> Reply:
    """Reads a completion's body as a Reply. Raises Unreadable and ErrorInside, as `read_completion`.

    `charged` computes the tokens from the body's `usage` and the text.
    """
    content, finish, usage = read_completion(raw)
    tokens = charged(usage, content.text or content.reasoning)
    return Reply(content.text, finish, tokens, seconds, content.reasoning, content.inline, role)


def model_names(raw: bytes | None) -> list[str] | None:
    """The ids in a list of models; None if the body is no such list."""
    try:
        return [str(model["id"]) for model in orjson.loads(raw or b"")["data"]]
    except (ValueError, KeyError, TypeError):
        return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms`, or from `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3). None if missing."""
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
    """A proxy in the form that aiohttp accepts."""

    url: str | None
    auth: aiohttp.BasicAuth | None = None


def proxy_of(url: Url) -> Proxy:
    """The proxy for a URL from the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY). Loopback addresses never use one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127.") or proxy_bypass(host) or not (named := getproxies().get(parts.scheme)):
        return Proxy(None)
    proxy = Url(named)
    user, _, password = proxy.user_info.get_secret_value().partition(":")
    return Proxy(str(proxy), aiohttp.BasicAuth(user, password, "utf-8") if user else None)


def shown(url: str) -> str:
    """A URL for messages: without password, and without its query, which may contain a token."""
    return redact(Url(url))
