"""RetryingChat: decides when a request is sent, how often, and when it is given up.

Failures are classified by cause. If an endpoint refuses everything (429, 503, 529, no connection), requests wait within settings.patience.
A request that fails on its own (5xx, a lost connection, a timeout, a body that is no completion) is repeated settings.retries times. If it
still fails while other requests are answered, it is Unanswered: its sample is rejected and the run continues. If no other reply shows this
(a rerun may have nothing else to send), a harmless request is sent. Only if that fails too does the run stop with an endpoint error. A
reply with bad text is a reply: it is paid for, and the caller decides.
"""

import asyncio
import random
import time
from typing import Literal

from tasks import progress
from tasks.endpoints.chat import Chat, Reply, Request, user
from tasks.endpoints.failures import EndpointAway, EndpointRefused, Filtered, Rejected, Rewritten, TryFailed, Unreachable, Unusable
from tasks.endpoints.ledger import RoleTotals
from tasks.endpoints.limits import ConcurrencyLimiter, RateLimiter
from tasks.endpoints.usage import expected
from tasks.schema.errors import EndpointError, Unanswered
from tasks.schema.settings import PREFIX, Role, Settings

PROBE = "Reply with the number 1."  # the harmless request
PROBE_PAUSES = (0.0, 1.0)  # seconds before each of its tries
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds of back-off, with full jitter
NOTICE = 10.0  # seconds without a reply before a message says why nothing moves; doubled after each message
FAILURES = 3  # times the tries of one request: after so many consecutive failures of all requests the endpoint is checked
Probed = Literal["answered", "not accepted", "refused"]  # "not accepted": the endpoint reads requests but refuses this one


class _Tries:
    """The state of a request in progress. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.sent = self.refused = float("inf")  # time last sent, time first refused
        self.count = self.failed = 0
        self.paused = 0.0  # seconds, over all pauses


class RetryingChat:
    """Sends requests by `chat` within the limits of the settings, and again after failures that may be temporary.

    `where` names role and URL in messages. `max_tokens` limits a reply. `account` counts the retries. `batched`: the chat gathers requests
    for batches, so that settings.batch_requests are given to it at once, without the endpoint's other limits. `probed`: the chat that gets
    the harmless request, if it is another one.
    """

    def __init__(
        self,
        chat: Chat,
        role: Role,
        *,
        where: str,
        max_tokens: int,
        settings: Settings,
        account: RoleTotals | None = None,
        batched: bool = False,
        probed: Chat | None = None,
    ):
        self.account = account or RoleTotals()
        self._probe_chat = probed or chat
        self._chat, self._role, self._where, self._max_tokens = chat, role, where, max_tokens
        self._patience, self._retries = settings.patience, settings.retries
        if batched:
            self._limiter = ConcurrencyLimiter(settings.batch_requests, start=settings.batch_requests)
            self._rate = RateLimiter(requests=0, tokens=0)
        else:
            self._limiter = ConcurrencyLimiter(settings.concurrency)
            self._rate = RateLimiter(requests=settings.requests_per_minute, tokens=settings.tokens_per_minute)
        self._failures = 0  # consecutive
        self._last_answer = time.monotonic()
        self._notice = NOTICE
        self._probing: asyncio.Task[Probed] | None = None

    async def __call__(self, request: Request) -> Reply:
        """Returns the reply, after retries. Raises Unanswered if this request fails, EndpointError if all requests fail."""
        tries = _Tries()
        while True:
            tries.count += 1
            try:
                return await self._try(request._replace(attempt=tries.count), tries)
            except Filtered as error:
                return error.reply
            except Rejected as error:
                raise await self._final(error, tries) from None
            except TryFailed as error:
                if self._given_up(error, tries):
                    raise await self._final(error, tries) from None
                pause = _pause(error, tries.count)
                self._explain(error, pause)
            await asyncio.sleep(pause)
            tries.paused += pause
            self.account.retries += 1

    async def _try(self, request: Request, tries: _Tries) -> Reply:
        """Sends the request once, and again at once if the endpoint wants another form. There are only a few forms."""
        while True:
            await self._rate.take(sum(expected(request, self._max_tokens)[:2]))
            async with self._limiter.slot(request.urgency) as ticket:
                tries.sent = time.monotonic()
                try:
                    reply = await self._chat(request)
                except Rewritten:
                    continue
                except EndpointRefused as error:
                    tries.refused = min(tries.refused, time.monotonic())
                    if not isinstance(error, EndpointAway):
                        self._limiter.refused(ticket, error.retry_after and min(error.retry_after, self._patience))
                    raise
                except (TryFailed, Rejected) as error:
                    self._failures += not getattr(error, "advice", "")
                    raise
                self._answered()
                return reply

    def _answered(self) -> None:
        self._failures, self._last_answer, self._notice = 0, time.monotonic(), NOTICE
        self._limiter.answered()

    def _given_up(self, error: TryFailed, tries: _Tries) -> bool:
        """Was this the last try? A refusal counts against patience, any other failure against retries."""
        paused = tries.paused + (error.retry_after or 0.0)
        if isinstance(error, EndpointRefused):  # no reply for that long, or this request alone would wait that long
            return not self._retries or max(time.monotonic() - max(self._last_answer, tries.begun), paused) > self._patience
        tries.failed += 1
        most = min(1, self._retries) if isinstance(error, Unusable) else self._retries
        return tries.failed > most or (error.retry_after is not None and paused > self._patience)

    def _explain(self, error: TryFailed, pause: float) -> None:
        """Prints why nothing moves once no request was answered for `_notice` seconds, or would not be before the next try."""
        waited = time.monotonic() - self._last_answer
        if waited + pause >= self._notice:
            self._notice = 2 * (waited + pause)
            progress.say(f"{self._where}: {error}; no answer for {waited:.0f} s, asked again in {pause:.0f} s; answers are kept")

    async def _final(self, error: TryFailed | Rejected, tries: _Tries) -> EndpointError | Unanswered:
        """The error of a request that is given up: Unanswered while others are answered, else the endpoint's error."""
        if isinstance(error, Unreachable):
            return EndpointError(f"{self._where}: {error}")
        if await self._others_are_answered(error, tries):
            return Unanswered(f"{self._role}: {error}")  # without URL and number of tries: rejects.jsonl must be the same on every machine
        if isinstance(error, EndpointRefused):
            waited = f"no request was answered within {PREFIX}PATIENCE, {self._patience:g} s"
            return EndpointError(f"{self._where}: {error}; {waited}; run again later, answers are kept")
        if isinstance(error, Rejected) and error.advice:
            return EndpointError(f"{self._where}: {error.advice}")
        return EndpointError(f"{self._where}: {error}; all other requests fail as well; run again later, answers are kept")

    async def _others_are_answered(self, error: TryFailed | Rejected, tries: _Tries) -> bool:
        """Does only this request fail? True if another request was answered since, or if the harmless one is answered now.

        Failed or rejected requests are taken as bad requests until there are too many in a row.
        """
        if not isinstance(error, EndpointRefused) and not getattr(error, "advice", ""):
            return self._failures <= FAILURES * (self._retries + 1) or await self._probed() == "answered"
        waited = tries.refused < time.monotonic() - self._patience
        since = tries.refused if waited else tries.sent
        return self._last_answer > since or await self._probed() != "refused"

    async def _probed(self) -> Probed:
        """The result of the harmless request. It is sent once for all callers that wait at the same time."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())
        return await asyncio.shield(self._probing)

    async def _probe(self) -> Probed:
        """Sends the harmless request, without waiting for a slot. Its sample index is new each time, so it is never read from the
        journal.
        """
        request = user(PROBE, sample=time.time_ns() % 2**31)._replace(words=1)
        for pause in PROBE_PAUSES:
            await asyncio.sleep(pause)
            try:
                await self._probe_chat(request)
                self._answered()
                return "answered"
            except Rejected as error:
                if not error.advice:
                    return "not accepted"
            except Filtered:
                return "answered"
            except (TryFailed, Rewritten, EndpointError):
                continue
        return "refused"


def _pause(error: TryFailed, tries: int) -> float:
    """Seconds before the next try: Retry-After, else exponential back-off with full jitter."""
    jitter = random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tries - 1)))
    if error.retry_after is not None:
        return error.retry_after + min(jitter, 0.1 * error.retry_after)  # spread the requests
    return jitter
