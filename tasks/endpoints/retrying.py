"""RetryingChat: when a request is sent, how often, and when it is given up.

Failures are classified by cause. An endpoint that refuses everything (429, 503, 529, no connection) is waited for, within
settings.patience. A request that fails on its own (5xx, a lost connection, no answer in time, a body that is no completion) has
settings.retries. A request that fails to the end is Unanswered while other requests are answered: its sample is rejected, and the run
continues. Where no other answer shows that (a rerun may have nothing else left to ask), a harmless request is sent: only if that fails
too is the endpoint to blame, and the run stops. A reply whose text is bad is a reply: it is paid for, and its reader decides.
"""

import asyncio
import random
import time
from typing import Literal

from tasks import progress
from tasks.endpoints.chat import Chat, Reply, Request, user
from tasks.endpoints.failures import Failed, Filtered, Refused, Rejected, Rewritten, Unreachable, Unusable
from tasks.endpoints.ledger import Account
from tasks.endpoints.limits import ConcurrencyLimiter, RateLimiter
from tasks.endpoints.usage import expected
from tasks.schema.errors import EndpointError, Unanswered
from tasks.schema.settings import PREFIX, Role, Settings

PROBE = "Reply with the number 1."  # the harmless request
PROBE_PAUSES = (0.0, 1.0)  # seconds before each of its tries
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds of back-off, with full jitter
NOTICE = 10.0  # seconds without an answer after which a bar that does not move is explained; then after twice as many, and so on
FAILURES = 3  # times the tries of one request, in a row and over all requests: the endpoint is to blame
Probed = Literal["answered", "not accepted", "refused"]  # the second shows that requests are read


class _Tries:
    """What is known of a request under way; times in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.sent = self.refused = float("inf")  # last sent, first refused
        self.count = self.failed = 0
        self.paused = 0.0  # seconds, over all pauses


class RetryingChat:
    """Sends requests by `chat` within the limits of the settings, and again after failures that may pass.

    `where` names role and URL in messages. `max_tokens`: of an answer. `account` counts the retries.
    """

    def __init__(self, chat: Chat, role: Role, *, where: str, max_tokens: int, settings: Settings, account: Account | None = None):
        self.account = account or Account()
        self._chat, self._role, self._where, self._max_tokens = chat, role, where, max_tokens
        self._patience, self._retries = settings.patience, settings.retries
        self._limiter = ConcurrencyLimiter(settings.concurrency)
        self._rate = RateLimiter(requests=settings.requests_per_minute, tokens=settings.tokens_per_minute)
        self._failures = 0  # in a row
        self._last_answer = time.monotonic()
        self._notice = NOTICE
        self._probing: asyncio.Task[Probed] | None = None

    async def __call__(self, request: Request) -> Reply:
        """Answer, after retries. Raises Unanswered when this request fails, EndpointError when all do."""
        tries = _Tries()
        while True:
            tries.count += 1
            try:
                return await self._try(request._replace(attempt=tries.count), tries)
            except Filtered as error:
                return error.reply
            except Rejected as error:
                raise await self._final(error, tries) from None
            except Failed as error:
                if self._given_up(error, tries):
                    raise await self._final(error, tries) from None
                pause = _pause(error, tries.count)
                self._explain(error, pause)
            await asyncio.sleep(pause)
            tries.paused += pause
            self.account.retries += 1

    async def _try(self, request: Request, tries: _Tries) -> Reply:
        """Send the request once; again at once where the endpoint wants it in another form, of which there are few."""
        while True:
            await self._rate.take(sum(expected(request, self._max_tokens)[:2]))
            async with self._limiter.slot(request.urgency) as ticket:
                tries.sent = time.monotonic()
                try:
                    reply = await self._chat(request)
                except Rewritten:
                    continue
                except Refused as error:
                    tries.refused = min(tries.refused, time.monotonic())
                    self._limiter.refused(ticket, error.retry_after and min(error.retry_after, self._patience))
                    raise
                except (Failed, Rejected) as error:
                    self._failures += not getattr(error, "advice", "")
                    raise
                self._answered()
                return reply

    def _answered(self) -> None:
        self._failures, self._last_answer, self._notice = 0, time.monotonic(), NOTICE
        self._limiter.answered()

    def _given_up(self, error: Failed, tries: _Tries) -> bool:
        """Was this the request's last try? A refusal counts against patience, any other failure against retries."""
        paused = tries.paused + (error.retry_after or 0.0)
        if isinstance(error, Refused):  # nobody is answered for so long, or this request alone would wait for so long
            return not self._retries or max(time.monotonic() - max(self._last_answer, tries.begun), paused) > self._patience
        tries.failed += 1
        most = min(1, self._retries) if isinstance(error, Unusable) else self._retries
        return tries.failed > most or (error.retry_after is not None and paused > self._patience)

    def _explain(self, error: Failed, pause: float) -> None:
        """Say why nothing moves, while no request is answered, or soon will be."""
        waited = time.monotonic() - self._last_answer
        if waited + pause >= self._notice:
            self._notice = 2 * (waited + pause)
            progress.say(f"{self._where}: {error}; no answer for {waited:.0f} s, asked again in {pause:.0f} s; answers are kept")

    async def _final(self, error: Failed | Rejected, tries: _Tries) -> EndpointError | Unanswered:
        """The error of a request that is given up: Unanswered while others are answered, else the endpoint's own error."""
        if isinstance(error, Unreachable):
            return EndpointError(f"{self._where}: {error}")
        if await self._others_are_answered(error, tries):
            return Unanswered(f"{self._role}: {error}")  # into rejects.jsonl, which is the same wherever and whenever it was asked
        if isinstance(error, Refused):
            waited = f"no request was answered within {PREFIX}PATIENCE, {self._patience:g} s"
            return EndpointError(f"{self._where}: {error}; {waited}; run again later, answers are kept")
        if isinstance(error, Rejected) and error.advice:
            return EndpointError(f"{self._where}: {error.advice}")
        return EndpointError(f"{self._where}: {error}; all other requests fail as well; run again later, answers are kept")

    async def _others_are_answered(self, error: Failed | Rejected, tries: _Tries) -> bool:
        """Does only this request fail? Another one was answered since, or the harmless one is now. Requests that fail, or are not
        accepted, are taken for bad ones until there are too many in a row."""
        if not isinstance(error, Refused) and not getattr(error, "advice", ""):
            return self._failures <= FAILURES * (self._retries + 1) or await self._probed() == "answered"
        waited = tries.refused < time.monotonic() - self._patience
        since = tries.refused if waited else tries.sent
        return self._last_answer > since or await self._probed() != "refused"

    async def _probed(self) -> Probed:
        """What becomes of the harmless request. It is sent once for all that want to know at the same time."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())
        return await asyncio.shield(self._probing)

    async def _probe(self) -> Probed:
        """A request that is never sent twice: only that it is answered counts. It waits for no slot."""
        request = user(PROBE, sample=time.time_ns() % 2**31)._replace(words=1)
        for pause in PROBE_PAUSES:
            await asyncio.sleep(pause)
            try:
                await self._chat(request)
                self._answered()
                return "answered"
            except Rejected as error:
                if not error.advice:
                    return "not accepted"
            except Filtered:
                return "answered"
            except (Failed, Rewritten, EndpointError):
                continue
        return "refused"


def _pause(error: Failed, tries: int) -> float:
    """Seconds before the next try: what the endpoint says, else exponential back-off with full jitter."""
    jitter = random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tries - 1)))
    if error.retry_after is not None:
        return error.retry_after + min(jitter, 0.1 * error.retry_after)  # not all at the same moment
    return jitter
