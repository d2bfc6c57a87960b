"""HttpChat: one POST to an OpenAI-compatible endpoint. Returns a Reply or raises an exception of failures.py.

HTTP by aiohttp, JSON by orjson. Secrets are masked in the raw bytes before they are parsed, so no reply contains a secret of the
workspace.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import aiohttp
import yarl
from pydantic import SecretStr

from tasks import progress
from tasks.endpoints import dialect, refusals, thoughts, usage, wire
from tasks.endpoints.chat import Reply, Request, stopped
from tasks.endpoints.completion import ErrorInside, NoText, Unreadable
from tasks.endpoints.dialect import Dialect
from tasks.endpoints.failures import EndpointRefused, Filtered, Rejected, Rewritten, TryFailed, Unusable
from tasks.endpoints.limits import AdaptiveTimeout
from tasks.endpoints.retrying import RetryingChat
from tasks.endpoints.streaming import TOO_LONG, Listener, assembled, is_stream
from tasks.endpoints.transport import AGAIN, OVERLOADED, by_cause, client_session
from tasks.endpoints.watcher import Watcher
from tasks.schema.errors import BadSettings, EndpointError
from tasks.schema.params import Model
from tasks.schema.records import Usage
from tasks.schema.redaction import MASK, REMOVED, mask, mask_bytes, of_url, register
from tasks.schema.settings import PREFIX, Role, Settings
from tasks.schema.urls import Url
from tasks.text.live_checks import StoppedReply, find_stop

NOT_ALLOWED = (401, 402, 403, 407)  # a wrong key, an empty account, or moderation of this request
STREAM_OVERHEAD = 32  # times the bytes of a text: each token of a stream comes in a JSON object of its own
SLOWEST = 10.0  # tokens a second of a candidate model's answer, waiting included
SLOWEST_OWN = 0.5  # of a server that the pipeline started: its health is watched, and a repeated request would only make it slower

_dialects: dict[tuple[str, str], Dialect] = {}  # by URL and model: learned in this process or recalled from earlier ones


class Received(NamedTuple):
    """What an endpoint answered to one request."""

    status: int
    headers: Mapping[str, str]
    raw: bytes | None  # secrets are masked; None: over the size limit


class HttpChat:
    """Sends each request once. Raises the exceptions of failures.py, and EndpointError if the configuration is wrong.

    `name` is the model's name at the endpoint. `up`: the endpoint is known to be reachable. With a `listener`, replies are streamed to it.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: Url,
        *,
        role: Role,
        model: Model,
        name: str,
        seed: int | None,
        up: bool,
        settings: Settings,
        listener: Listener | None = None,
    ):
        self.where = f"{role} at {wire.shown(url)}"
        self._session, self._role, self._variable = session, role, f"{PREFIX}{role.upper()}"
        self._url, self._path, self._home = url, url.under("chat/completions"), settings.home
        _dialects.setdefault((self._path, name), dialect.recall(settings.home, url, name))
        self._model, self._name, self._seed = model, name, seed
        self._most = model.max_tokens * wire.BYTES_PER_TOKEN  # bytes of a reply
        # A candidate model may write max_tokens tokens: 32,768 of them take longer than any other role's reply.
        longest = model.max_tokens / (SLOWEST_OWN if up else SLOWEST)
        self._timeout = AdaptiveTimeout(max(settings.timeout, longest if up or role == "candidate" else 0.0), longest=longest)
        self._reached = up
        self._listener = listener
        self._miscounted = False  # was the message about its token counts printed?

    async def __call__(self, request: Request) -> Reply:
        spoken, start = self.dialect, time.monotonic()
        watcher = Watcher(request.watch) if request.watch else None
        received = await self._post(request, spoken, watcher)
        seconds = time.monotonic() - start
        reply = self.read(request, received, spoken, seconds=seconds, watcher=watcher)
        if not (watcher and watcher.found):
            self._timeout.saw(request.words, seconds)
        return reply

    def body(self, request: Request, spoken: Dialect) -> bytes:
        """The request's JSON in the dialect `spoken`. The reply is asked for whole, not streamed."""
        return wire.body(request, self._model, name=self._name, seed=self._seed, dialect=spoken)

    def read(
        self,
        request: Request,
        received: Received,
        spoken: Dialect,
        *,
        seconds: float,
        watcher: Watcher | None = None,
        prompt: int | None = None,
    ) -> Reply:
        """Returns the reply to a request that was sent in the dialect `spoken`. Raises as `__call__`.

        `prompt`: bytes of the request's messages, if the request does not have them any more.
        """
        raw = received.raw
        if received.status != 200:
            self._check_form(request, raw or b"", spoken, received.status)
            raise self._refusal(received.status, received, refusals.message(raw or b""))
        if raw is None:
            raise Unusable(f"the answer is over the size limit: {wire.BYTES_PER_TOKEN} bytes for each of max_tokens, {self._most:,} bytes")
        if watcher and watcher.problem:  # a caller that shows no pieces needs the whole
            raise (Unusable if watcher.problem == TOO_LONG else TryFailed)(watcher.problem)
        size = usage.prompt_bytes(request) if prompt is None else prompt
        charged = partial(self._charged_stopped if watcher and watcher.found else self._charged, size, request.words)
        try:
            reply = wire.reply(raw, role=self._role, seconds=seconds, charged=charged)
        except NoText as error:
            raise Unusable(refusals.shown(str(error))) from None
        except Unreadable as error:
            raise TryFailed(refusals.shown(str(error))) from None
        except ErrorInside as error:
            if error.status is None:
                raise TryFailed(f"an error in a 200 ({refusals.shown(str(error))})") from None
            self._check_form(request, raw, spoken, error.status)
            raise self._refusal(error.status, received, f"an error in a 200: {error}") from None
        self._reached = True
        # Mask again: JSON escapes may have hidden a secret from the first pass.
        reply = Reply._make(mask(part, by=REMOVED) if isinstance(part, str) else part for part in reply)
        return self._watched(request, reply, watcher)

    def _watched(self, request: Request, reply: Reply, watcher: Watcher | None) -> Reply:
        """The reply; without its text if it was stopped, or would have been stopped had it not come as a whole."""
        if request.watch is None:
            return reply
        found = find_stop(reply.text, request.watch)  # again, because this text has no secrets that the evidence could show
        if watcher is None or watcher.found is None:
            return stopped(reply, found, request.watch, saved=0) if found else reply
        if found is None:
            found = StoppedReply(watcher.found.cause, "in its thoughts")
        return stopped(reply, found, request.watch, saved=self._saved(request, found, reply.usage))

    async def _post(self, request: Request, spoken: Dialect, watcher: Watcher | None) -> Received:
        """The response, with secrets masked."""
        listener = watcher or self._listener
        stream = listener is not None
        body = wire.body(request, self._model, name=self._name, seed=self._seed, dialect=spoken, stream=stream)
        # The adaptive timeout does not learn from a timeout: a few hanging calls would raise it for the next ones. If the endpoint is
        # slower now, the timeout doubles with each attempt until a reply arrives.
        with by_cause(self.where, self._variable, reached=self._reached):
            async with (
                self._timeout.limit(request.words, request.attempt),
                self._session.post(yarl.URL(self._path, encoded=True), data=body, allow_redirects=False) as response,
            ):
                if listener and is_stream(response):
                    at_most = self._most * STREAM_OVERHEAD + 65536
                    raw = await assembled(response, listener, at_most=at_most, needs_finish=watcher is None)
                else:
                    raw = await wire.read(response, at_most=self._most + 65536)
        return Received(response.status, response.headers, raw and mask_bytes(raw, by=REMOVED if response.status == 200 else MASK))

    @property
    def dialect(self) -> Dialect:
        """The learned dialect. A temperature other than 1 is always sent: without it, the reply would be sampled differently."""
        known = _dialects[self._path, self._name]
        return known if self._model.temperature == 1 else known._replace(temperature=True)

    def _charged(self, prompt: int, words: int | None, reported: object, text: str) -> Usage:
        """Tokens that a reply is charged for. The first problem with the endpoint's counts is reported in a message."""
        answer = self._model.max_tokens
        thought = thoughts.most(self._model.reasoning, answer)
        expected, most = usage.expected_for(prompt, words, answer, thoughts=thought), usage.most(prompt, answer)
        found = usage.charge(reported, expected=expected, most=most, empty=not text)
        if found.problem and not self._miscounted:
            self._miscounted = True
            progress.say(f"{self.where}: a reply has {found.problem}; such replies are charged what their requests are expected to take")
        return found.usage

    def _charged_stopped(self, prompt: int, words: int | None, reported: object, text: str) -> Usage:
        """Tokens of a stopped reply. Its stream ends before the endpoint's counts: what came is charged as expected for such a text."""
        answer = self._model.max_tokens
        expected = usage.expected_for(prompt, words, answer)._replace(completion=usage.expected_of(text, answer))
        return usage.charge(reported, expected=expected, most=usage.most(prompt, answer), empty=not text).usage

    def _saved(self, request: Request, found: StoppedReply, charged: Usage) -> int:
        """Completion tokens that a stopped reply did not take: a loop would have gone on to max_tokens, another text to its words."""
        answer = self._model.max_tokens
        whole = answer if found.cause in ("loop", "too_long") else usage.expected(request, answer).completion
        return max(0, whole - charged.completion)

    def _check_form(self, request: Request, raw: bytes, spoken: Dialect, status: int) -> None:
        """Raises Rewritten if a refusal names something that is not supported and the request can be written without it."""
        seed = self._seed is not None or request.sample > 0
        try:
            stream = self._listener is not None or request.watch is not None
            learned = dialect.learn(
                spoken,
                raw,
                request,
                status=status,
                temperature=self._model.temperature,
                seed=seed,
                stream=stream,
                reasoning=self._model.reasoning,
            )
        except dialect.NoReasoning as error:
            own = f"models.{self._role}.reasoning is {thoughts.shown(self._model.reasoning)}"
            problem = f"it takes no such setting, and {own}; fix: set it to null, or take another model"
            raise EndpointError(f"{self.where}: {problem}; it says: {refusals.shown(str(error))}") from None
        except dialect.NoTemperature as error:
            own = f"models.{self._role}.temperature is {self._model.temperature:g}"
            fix = "set it to 1" + (" (evaluate: --temperature 1)" if self._role == "candidate" else "")
            problem = f"it accepts only its default temperature, and {own}; fix: {fix}; it says: {refusals.shown(str(error))}"
            raise EndpointError(f"{self.where}: {problem}") from None
        if learned is None:
            return
        if learned.dialect != self.dialect and spoken == self.dialect:  # else another request learned it meanwhile
            _dialects[self._path, self._name] = learned.dialect
            dialect.remember(self._home, self._url, self._name, learned.dialect)
            progress.say(f"{self.where}: {learned.said}")
        raise Rewritten

    def _refusal(self, status: int, received: Received, problem: str) -> Exception:
        """The exception for a status other than 200."""
        said = refusals.shown(problem)
        if 300 <= status < 400:
            there = wire.shown(received.headers.get("Location", "elsewhere"))
            return EndpointError(f"{self.where}: {status}, it redirects to {there}; set {self._variable}_URL to that address")
        if status in (400, 403, 422) and refusals.is_filter(received.raw or b""):
            return Filtered(Reply("", "content_filter", Usage(0, 0), 0.0, role=self._role))
        if status in NOT_ALLOWED:
            advice = {402: f"payment is required ({said}); check the account", 407: "the proxy asks for credentials; set HTTPS_PROXY"}
            key_refused = f"the key was refused; set {self._variable}_API_KEY ({said})"
            return Rejected(f"{status} ({said})", advice=f"{status}, {advice.get(status, key_refused)}")
        if status == 404 and not self._reached:
            hint = f"check models.{self._role}.name and {self._variable}_URL (it should end in /v1)"
            return EndpointError(f"{self.where}: 404, no such model or path; {hint} ({said})")
        if 400 <= status < 500 and status not in (*OVERLOADED, *AGAIN):
            return Rejected(f"{status}, the request is not accepted ({said})")
        return (EndpointRefused if status in OVERLOADED else TryFailed)(
            f"{status} ({said})", retry_after=wire.retry_after(received.headers)
        )


@asynccontextmanager
async def http_chat(
    role: Role,
    url: str,
    model: Model,
    settings: Settings,
    *,
    name: str | None = None,
    seed: int | None = None,
    api_key: SecretStr | None = None,
    up: bool = False,
    listener: Listener | None = None,
) -> AsyncIterator[HttpChat]:
    """Yields an HttpChat for `model` at `url` (which ends in /v1), with its connections. The arguments are those of `openai_chat`.

    With a `listener`, replies are streamed to it.
    """
    address = Url(url)
    if not address.is_http:
        raise BadSettings(f"{PREFIX}{role.upper()}_URL: not a URL that begins with http:// or https://; correct the variable")
    headers = {"Content-Type": "application/json"} | authorization(role, address, settings, api_key=api_key)
    async with client_session(address, headers) as session:
        named = name or model.name
        yield HttpChat(session, address, role=role, model=model, name=named, seed=seed, up=up, settings=settings, listener=listener)


@asynccontextmanager
async def openai_chat(
    role: Role,
    url: str,
    model: Model,
    settings: Settings,
    *,
    name: str | None = None,
    seed: int | None = None,
    api_key: SecretStr | None = None,
    up: bool = False,
) -> AsyncIterator[RetryingChat]:
    """Yields `model` at `url` (which ends in /v1) without cache and budget: retrying(http). `name` is the model's name at the endpoint.

    `api_key` replaces the role's key; an empty one sends no key. `up`: the endpoint is known to be reachable, so requests wait for it if
    the connection fails, from the first one on. Errors name the role, the URL and the fix, never the key.
    """
    async with http_chat(role, url, model, settings, name=name, seed=seed, api_key=api_key, up=up) as http:
        yield RetryingChat(http, role, where=http.where, max_tokens=model.max_tokens, settings=settings)


def authorization(role: Role, address: Url, settings: Settings, *, api_key: SecretStr | None = None) -> dict[str, str]:
    """The Authorization header: from the given key, else the credentials in the URL, else the role's key; {} without any.

    Raises BadSettings if the role has its own key and its URL has credentials: only one of them can be sent.
    """
    basic = "" if api_key is not None else address.basic
    if basic and settings.own_api_key(role).get_secret_value():
        name = f"{PREFIX}{role.upper()}"
        raise BadSettings(f"{name}_URL has credentials in it, and {name}_API_KEY is set; only one can be sent, unset the other")
    key = (settings.api_key(role) if api_key is None else api_key).get_secret_value()
    register(key, *of_url(address))
    return {"Authorization": basic or f"Bearer {key}"} if basic or key else {}
