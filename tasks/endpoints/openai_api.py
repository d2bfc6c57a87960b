"""Any OpenAI-compatible endpoint as a Chat: HTTP by aiohttp, JSON by orjson, retries by tenacity.

Failures are classified by cause. An endpoint that refuses everybody (429, 503, 529, no connection) is waited for, within
settings.patience. A request that fails on its own (5xx, a lost connection, no answer in time, a body that is no completion) has
settings.retries. A request that is refused to the end is Unanswered where others are answered: its sample is rejected, and the run goes
on. Where no other answer tells (a rerun may have nothing else left to ask), a harmless request is sent: only if that is refused too
is it the endpoint, and the run stops. A reply whose *text* is bad is a reply: it is paid for, and its reader's business.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import count
from typing import Literal, Protocol

import aiohttp
import tenacity
import yarl
from pydantic import SecretStr

from tasks import progress
from tasks.endpoints import dialect, refusals, usage, wire
from tasks.endpoints.chat import Reply, Request, user
from tasks.endpoints.completion import ErrorInside, NoText, Unreadable
from tasks.endpoints.dialect import Dialect
from tasks.endpoints.limits import Allowance, Pace, Slots, Ticket
from tasks.schema.errors import BadSettings, EndpointError, Unanswered
from tasks.schema.params import Model
from tasks.schema.records import Usage
from tasks.schema.redaction import MASK, REMOVED, mask, mask_bytes, of_url, redact, register
from tasks.schema.settings import PREFIX, Role, Settings
from tasks.schema.urls import Url

DRAIN, DRAIN_AFTER_ERROR = 4.0, 60.0  # seconds that answers under way may take when the run is interrupted, or fails: they are paid for
OVERLOADED = (429, 503, 529)
NOT_ALLOWED = (401, 402, 403, 407)  # a wrong key or an empty account, or a moderation of this one request
AGAIN = (408, 409, 425)  # of the other statuses from 400 to 499, those that may pass
PROBE = "Reply with the number 1."  # the harmless request
Probed = Literal["answered", "not accepted", "refused"]  # what becomes of it: the second shows that requests are looked at
PROBE_TRIES = (0.0, 1.0)  # seconds before each
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds of back-off, full jitter
SLOWEST = 10.0  # tokens a second of a candidate's answer, waiting included
NOTICE = 10.0  # seconds without an answer after which a bar that stands still is explained; then after twice as many, and so on
FAILURES = 3  # times the tries of one request, in a row and over all requests: the endpoint is to blame

Keep = Callable[[Reply], Awaitable[None]]
Purse = Callable[[], AbstractAsyncContextManager[Keep]]  # pays for one try: opened before it is sent, handed the reply


class Rate(Protocol):
    """How many requests and tokens may be sent a minute."""

    async def take(self, tokens: float) -> None: ...


@asynccontextmanager
async def free() -> AsyncIterator[Keep]:
    """A purse that counts nothing and keeps nothing."""

    async def keep(reply: Reply) -> None:
        return None

    yield keep


class Failed(Exception):
    """A try that may go better the next time."""

    def __init__(self, problem: str, *, retry_after: float | None = None):
        super().__init__(problem)
        self.retry_after = retry_after


class Refused(Failed):
    """The endpoint takes nobody's requests at the moment."""


class Unreachable(Failed):
    """There is no connection to be had."""


class Unusable(Failed):
    """An answer that is no text, or has no end. It may be paid for, so it is asked for once more and no more."""


class Rewritten(Exception):
    """The endpoint refused the request's form, which it takes in another one: it goes again at once."""


_dialects: dict[tuple[str, str], Dialect] = {}  # by URL and model: what was learned in this process or recalled from earlier ones


class NotAllowed(Exception):
    """Refused for good: by what everybody is asked for (a key, an account), or for what this request says. `advice` is for the former."""

    def __init__(self, problem: str, *, advice: str):
        super().__init__(problem)
        self.advice = advice


class _Asked:
    """What is known of a request under way: when it was last sent, and when it was first refused."""

    __slots__ = ("refused", "sent")

    def __init__(self) -> None:
        self.sent = self.refused = float("inf")  # seconds, of the monotonic clock


class Client:
    """A Chat over HTTP. `ask` hands each paid reply to the purse before anything can interrupt it."""

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
        rate: Rate,
    ):
        self.model, self.name, self.seed, self.settings = model, name, seed, settings
        # A candidate may write to its last token: at 32,768 of them that takes longer than any other role's answer.
        longest = model.max_tokens / SLOWEST if role == "candidate" else 0.0
        self.slots, self.pace = Slots(settings.concurrency), Pace(max(settings.timeout, longest))
        self.retries = 0  # tries after the first, over all requests
        self._rate = rate
        self._where, self._variable = f"{role} at {wire.shown(url)}", f"{PREFIX}{role.upper()}"
        self._role, self._session, self._url, self._path = role, session, url, url.under("chat/completions")
        _dialects.setdefault((self._path, name), dialect.recall(settings.home, url, name))
        self._ever = up
        self._failures = 0
        self._last_answer = time.monotonic()
        self._notice = NOTICE
        self._miscounted = False  # has it been said that its counts of tokens cannot be used?
        self._under_way: set[asyncio.Task[Reply]] = set()
        self.probe_purse: Purse = free  # pays for the harmless request
        self._probing: asyncio.Task[Probed] | None = None

    async def __call__(self, request: Request) -> Reply:
        return await self.ask(request, purse=free)

    async def ask(self, request: Request, *, purse: Purse) -> Reply:
        """Answer, after retries. Raises Unanswered for this request, EndpointError for all of them."""
        failures, asked = count(1), _Asked()

        def stop(state: tenacity.RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            pause = error.retry_after if isinstance(error, Failed) else None
            if isinstance(error, Refused):
                asked.refused = min(asked.refused, time.monotonic())
                return self._given_up(state.start_time, own=state.idle_for + (pause or 0.0))
            most = min(1, self.settings.retries) if isinstance(error, Unusable) else self.settings.retries
            return next(failures) > most or (pause is not None and state.idle_for + pause > self.settings.patience)

        may_pass = tenacity.retry_if_exception_type(Failed)
        tries = tenacity.AsyncRetrying(retry=may_pass, stop=stop, wait=_wait, before_sleep=self._explain, reraise=True)
        try:
            return await tries(self._try, request, purse, asked, count(1))
        except (Failed, NotAllowed) as error:
            raise await self._final(error, asked, tries=int(tries.statistics["attempt_number"])) from None

    async def drain(self, seconds: float) -> None:
        """Wait for the answers under way, so that they are kept; then let go of what is left."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)
        for task in self._under_way:
            task.cancel()

    def _over(self, exchange: "asyncio.Task[Reply]") -> None:
        self._under_way.discard(exchange)
        if not exchange.cancelled() and isinstance(exchange.exception(), Failed):  # looked at, so that asyncio does not complain of it
            self._failures += not isinstance(exchange.exception(), Refused)

    async def _try(self, request: Request, purse: Purse, asked: _Asked, tries: "count[int]") -> Reply:
        self.retries += (attempt := next(tries)) > 1
        while True:
            spoken = self._dialect
            await self._rate.take(len(self._body(request, spoken)) / 4 + (request.words or self.model.max_tokens))
            async with self.slots.slot(request.urgency) as ticket, purse() as keep:
                asked.sent = time.monotonic()
                try:
                    return await self._sent(request, spoken, ticket, attempt, keep)
                except Rewritten:  # each time the dialect is narrower than before, so that there is an end to it
                    continue

    @property
    def _dialect(self) -> Dialect:
        """As learned. A temperature that is not the default is always sent: leaving it out would change what is drawn."""
        known = _dialects[self._path, self.name]
        return known if self.model.temperature == 1 else known._replace(temperature=True)

    def _body(self, request: Request, spoken: Dialect) -> bytes:
        return wire.body(request, self.model, name=self.name, seed=self.seed, dialect=spoken)

    async def _sent(self, request: Request, spoken: Dialect, ticket: Ticket, attempt: int, keep: Keep) -> Reply:
        exchange = asyncio.create_task(self._exchange(request, spoken, ticket, attempt, keep))
        self._under_way.add(exchange)
        exchange.add_done_callback(self._over)
        return await asyncio.shield(exchange)

    async def _exchange(self, request: Request, spoken: Dialect, ticket: Ticket, attempt: int, keep: Keep) -> Reply:
        """One request and its whole answer. Not to be cancelled lightly: the answer may be paid for."""
        start, body = time.monotonic(), self._body(request, spoken)
        try:
            async with (
                self.pace.limit(request.words, attempt),
                self._session.post(yarl.URL(self._path, encoded=True), data=body, allow_redirects=False) as response,
            ):
                raw = await wire.read(response, at_most=self.model.max_tokens * wire.BYTES_PER_TOKEN + 65536)
        except TimeoutError:
            # No lesson for the pace: a few hanging calls would raise it, and with it the time that the next ones may hang. Should the
            # endpoint have slowed down, the deadline doubles with each attempt, until an answer comes and tells.
            waited = time.monotonic() - start
            raise Failed(f"no answer within {waited:.0f} s; raise {PREFIX}TIMEOUT or look after the server") from None
        except aiohttp.ClientConnectorCertificateError as error:
            problem = f"its certificate is not trusted ({redact(str(error.certificate_error))}); correct {self._variable}_URL"
            raise EndpointError(f"{self._where}: {problem}") from None
        except aiohttp.ClientConnectorError as error:
            if self._ever:  # an endpoint that never was there is not overloaded: no pauses, each request has its own few tries
                self.slots.refused(ticket, None)
            problem = f"cannot connect ({error.strerror or error.os_error}); start the server or set {self._variable}_URL"
            raise (Refused if self._ever else Unreachable)(problem) from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Failed(f"the connection was lost ({type(error).__name__}: {redact(str(error))[:100]})") from None
        if raw is not None:  # before it is read: so that no secret is in what comes of it, cut short or not
            raw = mask_bytes(raw, by=REMOVED if response.status == 200 else MASK)
        if response.status != 200:
            self._check_form(request, raw or b"", spoken, response.status)
            return self._refusal(response.status, response, raw or b"", refusals.message(raw or b""), ticket)
        if raw is None:
            most = self.model.max_tokens * wire.BYTES_PER_TOKEN
            raise Unusable(f"the answer is over the size limit: {wire.BYTES_PER_TOKEN} bytes for each of max_tokens, {most:,} bytes")
        try:
            seconds = time.monotonic() - start
            reply = wire.reply(raw, role=self._role, seconds=seconds, charged=partial(self._charged, request))
        except NoText as error:
            raise Unusable(refusals.shown(str(error))) from None
        except Unreadable as error:
            raise Failed(refusals.shown(str(error))) from None
        except ErrorInside as error:
            if error.status is None:
                raise Failed(f"an error in a 200 ({refusals.shown(str(error))})") from None
            self._check_form(request, raw, spoken, error.status)
            return self._refusal(error.status, response, raw, f"an error in a 200: {error}", ticket)
        # Once more, for what was spelled in another way in JSON.
        reply = Reply._make(mask(part, by=REMOVED) if isinstance(part, str) else part for part in reply)
        self._ever, self._failures, self._last_answer, self._notice = True, 0, time.monotonic(), NOTICE
        self.pace.saw(request.words, reply.seconds)
        self.slots.answered()
        await keep(reply)
        return reply

    def _charged(self, request: Request, reported: object, text: str) -> Usage:
        """Tokens that a reply is charged for. Says once what is wrong with the endpoint's counts."""
        answer = self.model.max_tokens
        found = usage.charge(reported, expected=usage.expected(request, answer), most=usage.most(request, answer), empty=not text)
        if found.problem and not self._miscounted:
            self._miscounted = True
            progress.say(f"{self._where}: a reply has {found.problem}; such replies are charged what their requests are expected to take")
        return found.usage

    def _check_form(self, request: Request, raw: bytes, spoken: Dialect, status: int) -> None:
        """Raises Rewritten where a refusal says what the endpoint cannot take, and the request can be written without it."""
        schema, seed = request.schema is not None, self.seed is not None or request.sample > 0
        try:
            learned = dialect.learn(spoken, raw, status=status, temperature=self.model.temperature, seed=seed, schema=schema)
        except dialect.NoTemperature as error:
            own = f"models.{self._role}.temperature is {self.model.temperature:g}"
            fix = "set it to 1" + (" (evaluate: --temperature 1)" if self._role == "candidate" else "")
            problem = f"it takes no temperature but its default, and {own}; fix: {fix}; it says: {refusals.shown(str(error))}"
            raise EndpointError(f"{self._where}: {problem}") from None
        if learned is None:
            return
        if learned.dialect != self._dialect and spoken == self._dialect:  # else another request has learned it meanwhile
            _dialects[self._path, self.name] = learned.dialect
            dialect.remember(self.settings.home, self._url, self.name, learned.dialect)
            progress.say(f"{self._where}: {learned.said}")
        raise Rewritten

    def _refusal(self, status: int, response: aiohttp.ClientResponse, raw: bytes, problem: str, ticket: Ticket) -> Reply:
        """What a status other than 200 means. A content filter's is a reply: asking again in the same words is of no use."""
        said = refusals.shown(problem)
        if 300 <= status < 400:
            there = wire.shown(response.headers.get("Location", "elsewhere"))
            raise EndpointError(f"{self._where}: {status}, it redirects to {there}; set {self._variable}_URL to where it is")
        if status in (400, 403, 422) and refusals.is_filter(raw):
            return Reply("", "content_filter", Usage(0, 0), 0.0, role=self._role)
        if status in NOT_ALLOWED:
            advice = {402: f"payment is required ({said}); check the account", 407: "the proxy asks for credentials; set HTTPS_PROXY"}
            key_refused = f"the key was refused; set {self._variable}_API_KEY ({said})"
            raise NotAllowed(f"{status} ({said})", advice=f"{status}, {advice.get(status, key_refused)}")
        if status == 404 and not self._ever:
            hint = f"check models.{self._role}.name and {self._variable}_URL (it should end in /v1)"
            raise EndpointError(f"{self._where}: 404, no such model or path; {hint} ({said})")
        if 400 <= status < 500 and status not in (*OVERLOADED, *AGAIN):
            self._failures += 1
            raise NotAllowed(f"{status}, the request is not accepted ({said})", advice="")
        if status in OVERLOADED:
            retry_after = wire.retry_after(response.headers)
            self.slots.refused(ticket, retry_after and min(retry_after, self.settings.patience))
            raise Refused(f"{status} ({said})", retry_after=retry_after)
        raise Failed(f"{status} ({said})", retry_after=wire.retry_after(response.headers))

    def _given_up(self, since: float, *, own: float) -> bool:
        """Has nobody been answered for longer than settings.patience, or would this request alone wait for longer, `own` seconds?"""
        waited = max(time.monotonic() - max(self._last_answer, since), own)
        return not self.settings.retries or waited > self.settings.patience

    def _explain(self, state: tenacity.RetryCallState) -> None:
        """Why nothing moves, while nobody is answered, or soon will be."""
        waited, pause = time.monotonic() - self._last_answer, state.next_action.sleep if state.next_action else 0.0
        if waited + pause >= self._notice and state.outcome:
            self._notice = 2 * (waited + pause)
            said = f"{state.outcome.exception()}; no answer for {waited:.0f} s, asked again in {pause:.0f} s; what was answered is kept"
            progress.say(f"{self._where}: {said}")

    async def _final(self, error: Failed | NotAllowed, asked: _Asked, *, tries: int) -> EndpointError | Unanswered:
        """The end of a request's tries: Unanswered while others are answered, else the endpoint's own error."""
        if isinstance(error, Unreachable):
            return EndpointError(f"{self._where}: {error}")
        if await self._others_are_answered(error, asked):
            return Unanswered(f"{self._where}: {error}" + (f", in {tries} tries" if tries > 1 else ""))
        if isinstance(error, Refused):
            waited = f"nobody was answered within {PREFIX}PATIENCE, {self.settings.patience:g} s"
            return EndpointError(f"{self._where}: {error}; {waited}; run again later, what was answered is kept")
        if isinstance(error, NotAllowed) and error.advice:
            return EndpointError(f"{self._where}: {error.advice}")
        return EndpointError(f"{self._where}: {error}, and so it went for all requests; run again later, what was answered is kept")

    async def _others_are_answered(self, error: Failed | NotAllowed, asked: _Asked) -> bool:
        """Is it this request alone? Another was answered since, or the harmless one is now. Requests that fail, or are not accepted,
        are taken for bad ones until there are too many in a row."""
        if not isinstance(error, Refused) and not getattr(error, "advice", ""):
            return self._failures <= FAILURES * (self.settings.retries + 1) or await self._probed() == "answered"
        waited = asked.refused < time.monotonic() - self.settings.patience
        since = asked.refused if waited else asked.sent
        return self._last_answer > since or await self._probed() != "refused"

    async def _probed(self) -> Probed:
        """What becomes of the harmless request. For all that want to know at the same time it is sent once."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())
        return await asyncio.shield(self._probing)

    async def _probe(self) -> Probed:
        request = user(PROBE, sample=time.time_ns() % 2**31)._replace(words=1)
        for pause in PROBE_TRIES:
            await asyncio.sleep(pause)
            try:
                async with self.probe_purse() as keep:
                    await self._sent(request, self._dialect, Ticket(), 1, keep)
                return "answered"
            except NotAllowed as error:
                if not error.advice:
                    return "not accepted"
            except (Failed, Rewritten, EndpointError):
                continue
        return "refused"


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
    rate: Rate | None = None,
) -> AsyncIterator[Client]:
    """A Chat for `model` at `url` (which ends in /v1). `name` is what the endpoint calls it, where that is not model.name.

    `api_key` is the endpoint's own, in place of the role's; an empty one is none. `up`: it is known to be there, so that it is waited for
    from the first request on when it cannot be reached. `rate`: shared with others; None: the settings', for this Chat alone.

    At most settings.concurrency requests are in flight. Errors name the role, the URL and what to correct; never the key. When the
    block ends early, answers under way are waited for, so that they are kept: they are paid for.
    """
    address = Url(url)
    if not address.is_http:
        raise BadSettings(f"{PREFIX}{role.upper()}_URL: not a URL that begins with http:// or https://; correct the variable")
    headers = {"Content-Type": "application/json"} | authorization(role, address, settings, api_key=api_key)
    proxy = wire.proxy_of(address)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    no_timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
    async with aiohttp.ClientSession(
        connector=connector, timeout=no_timeout, headers=headers, proxy=proxy.url, proxy_auth=proxy.auth
    ) as session:
        rate = rate or Allowance(requests=settings.requests_per_minute, tokens=settings.tokens_per_minute)
        named = name or model.name
        client = Client(session, address, role=role, model=model, name=named, seed=seed, up=up, settings=settings, rate=rate)
        try:
            yield client
        except asyncio.CancelledError:
            await client.drain(DRAIN)
            raise
        finally:
            await client.drain(DRAIN_AFTER_ERROR)


def authorization(role: Role, address: Url, settings: Settings, *, api_key: SecretStr | None = None) -> dict[str, str]:
    """The header that says who asks: by the key given, else by the credentials in the URL, else by the role's key; {} for nobody.

    Raises BadSettings where the role has a key of its own and its URL has credentials: only one of them can be sent.
    """
    basic = "" if api_key is not None else address.basic
    if basic and settings.own_api_key(role).get_secret_value():
        name = f"{PREFIX}{role.upper()}"
        raise BadSettings(f"{name}_URL has credentials in it, and {name}_API_KEY is set; only one can be sent, unset the other")
    key = (settings.api_key(role) if api_key is None else api_key).get_secret_value()
    register(key, *of_url(address))
    return {"Authorization": basic or f"Bearer {key}"} if basic or key else {}


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds before the next try: what the endpoint says, else exponential back-off with full jitter."""
    error = state.outcome.exception() if state.outcome else None
    jitter = tenacity.wait_random_exponential(FIRST_WAIT, LONGEST_WAIT)(state)
    if isinstance(error, Failed) and error.retry_after is not None:
        return error.retry_after + min(jitter, 0.1 * error.retry_after)  # not everybody at once
    return jitter
