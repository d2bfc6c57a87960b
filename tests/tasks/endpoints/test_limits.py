"""Limits of concurrency, rate and time, and how the client learns them from an endpoint."""

import asyncio
import random
import time

from tasks.endpoints.limits import ROW, AdaptiveTimeout, ConcurrencyLimiter, TokenBucket


async def take(slots: ConcurrencyLimiter, urgency: float, order: list[float]) -> None:
    async with slots.slot(urgency):
        order.append(urgency)
        await asyncio.sleep(0.001)


def test_the_most_urgent_goes_first_whoever_came_first() -> None:
    async def go() -> list[float]:
        slots, order = ConcurrencyLimiter(1), list[float]()
        await asyncio.gather(*(take(slots, urgency, order) for urgency in (1, 5, 3, 9, 5)))
        return order

    assert asyncio.run(go()) == [1, 9, 5, 5, 3]  # the first found a free slot


def test_a_waiter_that_gives_up_leaves_its_place_to_the_next() -> None:
    async def go() -> int:
        slots, order = ConcurrencyLimiter(1), list[float]()
        async with slots.slot(0):
            waiting = [asyncio.create_task(take(slots, urgency, order)) for urgency in (3, 2)]
            await asyncio.sleep(0)
            waiting[0].cancel()
        await asyncio.wait_for(waiting[1], 1)
        return slots.in_flight

    assert asyncio.run(go()) == 0


class Endpoint:
    """Refuses what is over its capacity at once, and `share` of all else; answers the others after a while."""

    def __init__(self, capacity: int, *, share: float = 0.0):
        self.capacity, self.share, self.active, self.refusals, self.answers = capacity, share, 0, 0, 0
        self.luck = random.Random(1)

    async def call(self, slots: ConcurrencyLimiter, log: list[int]) -> None:
        while True:
            async with slots.slot(0) as ticket:
                log.append(slots.in_flight)
                if self.active >= self.capacity or self.luck.random() < self.share:
                    self.refusals += 1
                    await asyncio.sleep(0)
                    slots.refused(ticket, 0.0)
                else:
                    self.active += 1
                    await asyncio.sleep(0.01)
                    self.active -= 1
                    self.answers += 1
                    slots.answered()
                    return
            await asyncio.sleep(self.luck.uniform(0, 0.02))


def run(endpoint: Endpoint, slots: ConcurrencyLimiter, calls: int) -> list[int]:
    """The requests in flight at each sending."""

    async def go() -> list[int]:
        log = list[int]()
        waiting = iter(range(calls))

        async def worker() -> None:
            for _ in waiting:
                await endpoint.call(slots, log)

        await asyncio.gather(*(worker() for _ in range(200)))
        return log

    return asyncio.run(go())


def test_it_grows_to_the_ceiling_while_the_endpoint_answers() -> None:
    slots = ConcurrencyLimiter(128)
    run(Endpoint(1000), slots, 1000)
    assert slots.limit == 128


def test_it_is_halved_when_the_endpoint_is_overloaded_and_finds_its_capacity() -> None:
    slots, endpoint = ConcurrencyLimiter(128), Endpoint(20)
    log = run(endpoint, slots, 2000)
    later = log[len(log) // 2 :]
    assert max(log) >= 64
    assert 8 <= sum(later) / len(later) <= 60
    assert endpoint.refusals < endpoint.answers


def test_refusals_by_chance_do_not_slow_the_others_down() -> None:
    slots, endpoint = ConcurrencyLimiter(64), Endpoint(1000, share=0.1)
    log = run(endpoint, slots, 2000)
    assert slots.limit == 64
    assert endpoint.refusals > 100
    assert sum(log) / len(log) > 48  # requests in flight


def test_when_everybody_is_refused_everybody_waits_as_long_as_the_endpoint_says() -> None:
    async def go() -> tuple[int, float]:
        slots, sent, start = ConcurrencyLimiter(16), 0, asyncio.get_running_loop().time()

        async def one() -> None:
            nonlocal sent
            async with slots.slot(0) as ticket:
                if asyncio.get_running_loop().time() - start < 0.3:
                    sent += 1
                    slots.refused(ticket, 0.4)

        await asyncio.gather(*(one() for _ in range(100)))
        return sent, asyncio.get_running_loop().time() - start

    sent, seconds = asyncio.run(go())
    assert sent <= 16
    assert sent >= ROW
    assert seconds >= 0.4


def test_no_minute_has_more_requests_than_its_quota() -> None:
    async def go() -> float:
        quota, start = TokenBucket(600), time.monotonic()
        for _ in range(70):  # a burst of 60, then 9 a second
            await quota.take()
        return time.monotonic() - start

    assert asyncio.run(go()) >= 0.9
    assert asyncio.run(asyncio.wait_for(TokenBucket(0).take(10**9), 1)) is None


def test_the_time_out_follows_the_length_and_what_was_seen() -> None:
    pace = AdaptiveTimeout(600.0)
    assert pace.deadline(100, 1) == 600.0
    for _ in range(32):
        pace.saw(100, 1.5)
    assert 6.9 <= pace.deadline(100, 1) <= 7.1
    assert pace.deadline(1000, 1) > 5 * pace.deadline(100, 1)
    assert pace.deadline(100, 2) == 2 * pace.deadline(100, 1)
    assert pace.deadline(None, 1) == pace.deadline(10**9, 1) == 600.0


def test_a_reply_of_ten_thousand_words_may_take_longer_than_the_limit_of_others() -> None:
    timeout = AdaptiveTimeout(600.0, longest=3_000.0)
    assert timeout.deadline(1_000, 1) == 600.0
    assert timeout.deadline(10_000, 1) == 2_000.0
    assert timeout.deadline(100_000, 1) == 3_000.0
