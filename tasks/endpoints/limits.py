"""Limits per endpoint: requests in flight, requests and tokens a minute, seconds per request. The first and the last adapt to its replies.

The most urgent request goes first. With the words left in its chain as urgency, a set of chains ends close to the bound given by the
longest chain and the number of slots.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from aiolimiter import AsyncLimiter

START = 128  # requests in flight at first; doubled with every round of replies
GROWTH = 1.0  # of the limit per reply: doubles it in a round trip
GROWTH_AFTER_CUT = 0.25  # slower after the endpoint refused
REFUSED_SHARE = 0.4  # of the latest requests: halve the limit. Below that share each refused request waits on its own
ROW = 8  # consecutive refusals: the endpoint refuses every request, and all of them pause
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0  # seconds, without Retry-After


class Ticket:
    """A request in flight."""

    __slots__ = ("refused",)

    def __init__(self) -> None:
        self.refused = False


class ConcurrencyLimiter:
    """At most `most` requests in flight; fewer while the endpoint is overloaded.

    The limit grows with each reply. It is halved when the endpoint refuses a large share of the requests (429, 503, 529). A single refusal
    delays its own request only: a common pause after each refusal was measured to cost 7.7 times the bound. After ROW consecutive refusals
    all requests pause for Retry-After seconds. Without Retry-After they pause once a single request is in flight; the pause doubles until
    one succeeds.
    """

    def __init__(self, most: int, *, start: int = START):
        self.most, self.limit, self.in_flight = most, float(min(most, start)), 0
        self._growth = GROWTH
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        self._sent: deque[Ticket] = deque(maxlen=4 * most + 16)
        self._closed_until = self._pause = 0.0
        self._row = 0  # refusals since the last reply
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def slot(self, urgency: float) -> AsyncIterator[Ticket]:
        """Waits for a slot and holds it during the block. The most urgent request gets the next free slot."""
        await self._acquire(urgency)
        ticket = Ticket()
        self._sent.append(ticket)
        try:
            yield ticket
        finally:
            self.in_flight -= 1
            self._wake()

    def answered(self) -> None:
        """Reports a reply: the limit grows."""
        self._pause, self._row = 0.0, 0
        self.limit = min(self.most, self.limit + self._growth)

    def refused(self, ticket: Ticket, retry_after: float | None) -> None:
        """Reports a refusal because of too many requests. `retry_after`: seconds, if the endpoint says."""
        ticket.refused = True
        self._row += 1
        if retry_after and self._row >= min(ROW, max(2, int(self.limit))):
            self._close(retry_after)
        elif not retry_after and self.in_flight == 1 and _now() >= self._closed_until:
            self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self._pause))
            self._close(self._pause)
        newest = list(self._sent)[-max(2 * ROW, int(self.limit)) :]
        if len(newest) >= min(ROW, self.most) and sum(sent.refused for sent in newest) >= REFUSED_SHARE * len(newest):
            self.limit, self._growth = max(1.0, self.limit / 2), GROWTH_AFTER_CUT
            self._sent.clear()

    def _close(self, seconds: float) -> None:
        self._closed_until = max(self._closed_until, _now() + seconds)

    async def _acquire(self, urgency: float) -> None:
        if self._open() and not self._waiting:
            self.in_flight += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-urgency, next(self._order), future))
        self._wake()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # it already had its slot
                self.in_flight -= 1
                self._wake()
            raise

    def _open(self) -> bool:
        return self.in_flight < int(self.limit) and _now() >= self._closed_until

    def _wake(self) -> None:
        while self._waiting and self._open():
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                self.in_flight += 1
                future.set_result(None)
        if self._waiting and not self._timer and (wait := self._closed_until - _now()) > 0:
            self._timer = asyncio.get_running_loop().call_later(wait + 0.001, self._reopen)

    def _reopen(self) -> None:
        self._timer = None
        self._wake()


def _now() -> float:
    return asyncio.get_running_loop().time()


class TokenBucket:
    """At most `per_minute` units in any minute, in small bursts; 0: no limit."""

    def __init__(self, per_minute: int):
        self._burst = max(1.0, per_minute / 10)
        # A leaky bucket that starts empty lets a burst pass at once: burst and leak together stay within the minute's limit.
        leak = max(per_minute - self._burst, per_minute / 2) / 60
        self._limiter = AsyncLimiter(self._burst, self._burst / leak) if per_minute else None

    async def take(self, units: float = 1) -> None:
        """Waits until `units` are allowed. More units than the burst are charged as one burst."""
        if self._limiter:
            await self._limiter.acquire(min(units, self._burst))


class RateLimiter:
    """Limits requests a minute, and prompt plus expected completion tokens a minute; 0: no limit."""

    def __init__(self, *, requests: int, tokens: int):
        self._requests, self._tokens = TokenBucket(requests), TokenBucket(tokens)

    async def take(self, tokens: float) -> None:
        """Waits until one request of `tokens` tokens is allowed."""
        await self._requests.take()
        await self._tokens.take(tokens)


class AdaptiveTimeout:
    """How long a request may take: `most` seconds at first, then SLACK times the recent time per word, times its expected words."""

    SLACK = 4.0  # times the 95th percentile: a reply that times out is paid for and lost
    FLOOR = 1.0  # seconds
    BASE = 50  # words that the start of a reply counts as
    SEEN = 16  # replies before the timeout adapts
    LONG, SLOWEST = 3_000, 0.2  # words of a reply that may take longer than `most`, and its seconds per word: 10 tokens a second

    def __init__(self, most: float, *, longest: float = 0.0):
        """`longest`: seconds that a reply of more than LONG words may take, if that is more than `most`."""
        self.most, self._longest = most, longest
        self._paces: deque[float] = deque(maxlen=256)  # seconds per word
        self._slow, self._until = 0.0, 0
        self._unlimited: dict[asyncio.Timeout, tuple[float, int, int]] = {}

    @asynccontextmanager
    async def limit(self, words: int | None, attempt: int) -> AsyncIterator[None]:
        """Raises TimeoutError if the block takes longer than a reply of `words` words may. A block in progress gets the limit learned
        meanwhile.
        """
        start = _now()
        async with asyncio.timeout(self.deadline(words, attempt)) as timeout:
            if words is not None and len(self._paces) < self.SEEN:
                self._unlimited[timeout] = start, words, attempt
            try:
                yield
            finally:
                self._unlimited.pop(timeout, None)

    def deadline(self, words: int | None, attempt: int) -> float:
        """Seconds that a reply may take; `most` without `words`, and for the first SEEN replies.

        Doubled with each attempt, because the endpoint may have become slower.
        """
        most = max(self.most, min(self._longest, words * self.SLOWEST)) if words and words > self.LONG else self.most
        if words is None or len(self._paces) < self.SEEN:
            return most
        if not self._until:
            self._slow, self._until = sorted(self._paces)[int(0.95 * len(self._paces))], self.SEEN
        return float(min(most, (self.FLOOR + self.SLACK * self._slow * (words + self.BASE)) * 2 ** (attempt - 1)))

    def saw(self, words: int | None, seconds: float) -> None:
        """Reports that a reply of about `words` words took `seconds`."""
        if words is None:
            return
        self._paces.append(seconds / (words + self.BASE))
        self._until = max(0, self._until - 1)
        if self._unlimited and len(self._paces) >= self.SEEN:
            for timeout, (start, expected, attempt) in self._unlimited.items():
                timeout.reschedule(start + self.deadline(expected, attempt))
            self._unlimited.clear()
