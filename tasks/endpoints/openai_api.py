"""Any OpenAI-compatible endpoint as a Chat: openai's SDK does the HTTP, the retries and their back-off."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import openai

from tasks.endpoints.chat import Chat, Reply, Request
from tasks.schema.errors import EndpointError
from tasks.schema.params import Model
from tasks.schema.records import Usage
from tasks.schema.settings import PREFIX, Role, Settings


@asynccontextmanager
async def openai_chat(
    role: Role, url: str, model: Model, settings: Settings, *, name: str | None = None, seed: int | None = None
) -> AsyncIterator[Chat]:
    """A Chat for `model` at `url` (which ends in /v1). `name` is what the endpoint calls it, where that is not model.name.

    At most settings.concurrency requests are in flight. Raises EndpointError, once the SDK's retries are used up, with the
    role, the URL and what to mend; never with the key.
    """
    slots = asyncio.Semaphore(settings.concurrency)
    # An empty key would be refused by the SDK, though local servers want none.
    key = settings.api_key(role).get_secret_value() or "none"
    client = openai.AsyncOpenAI(
        base_url=url,
        api_key=key,
        max_retries=settings.retries,
        timeout=settings.timeout,
    )
    async with client:

        async def chat(request: Request) -> Reply:
            async with slots:
                start = time.monotonic()
                try:
                    completion = await client.chat.completions.create(**_body(request, model, name or model.name, seed))
                except openai.OpenAIError as error:
                    raise EndpointError(_explain(error, role=role, url=url).replace(key, "***" if key != "none" else key)) from None
                return _reply(completion, time.monotonic() - start, where=f"{role} at {shown(url)}")

        yield chat


def _body(request: Request, model: Model, name: str, seed: int | None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": name,
        "messages": [message.model_dump() for message in request.messages],
        "temperature": model.temperature,
        "max_tokens": model.max_tokens,
    }
    if seed is not None or request.sample:
        body["seed"] = (seed or 0) + request.sample
    if request.schema:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": request.schema, "strict": True}}
    return body


def _reply(completion: Any, seconds: float, *, where: str) -> Reply:
    """Raises EndpointError for a 200 whose body is no completion (a proxy's HTML page, missing choices)."""
    choices = getattr(completion, "choices", None)
    if not choices:
        raise EndpointError(f"{where}: answered 200 with a body that is no chat completion; check the URL, it should end in /v1")
    usage = getattr(completion, "usage", None)
    details = getattr(usage, "prompt_tokens_details", None)
    counted = Usage(
        getattr(usage, "prompt_tokens", 0) or 0,
        getattr(usage, "completion_tokens", 0) or 0,
        getattr(details, "cached_tokens", 0) or 0,
    )
    # A lone surrogate can be spelled in JSON and not in UTF-8: replaced here, so that no stage ever meets one.
    text = (choices[0].message.content or "").encode("utf-8", "replace").decode("utf-8")
    return Reply(text, choices[0].finish_reason or "stop", counted, seconds)


def _explain(error: openai.OpenAIError, *, role: Role, url: str) -> str:
    where, variable = f"{role} at {shown(url)}", f"{PREFIX}{role.upper()}"
    match error:
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return f"{where}: {error.status_code}, the key was refused; set {variable}_API_KEY"
        case openai.NotFoundError():
            return f"{where}: 404, no such model or path; check models.{role}.name and {variable}_URL (it should end in /v1)"
        case openai.APITimeoutError():
            return f"{where}: no answer within the time-out; raise {PREFIX}TIMEOUT or look after the server"
        case openai.APIConnectionError():
            return f"{where}: cannot connect ({error.__cause__ or error}); start the server or set {variable}_URL"
        case openai.APIStatusError():
            return f"{where}: {error.status_code} after all retries ({str(error.message)[:200]}); run again, what was answered is kept"
    return f"{where}: {type(error).__name__}: {str(error)[:200]}"


def shown(url: str) -> str:
    """A URL fit for a message: without a password in it and without its query, which may hold a token."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return urlunsplit((parts.scheme, f"{host}:{parts.port}" if parts.port else host, parts.path, "", ""))
