"""Records whose work talks to a model: all in this process's event loop, or in shards on the cluster of the settings.

A shard has SHARD records at the most, fewer where there are not enough for every worker. Its worker makes the requests; the
journal of paid replies, the spend cap, the requests and tokens a minute and the account are this process's. The slots of
settings.concurrency are divided among the shards under way. When a worker dies, what it had not finished is tried
again: its paid replies are in the journal.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from tasks import progress
from tasks.cluster import line
from tasks.cluster.desk import Desk, Listener
from tasks.cluster.engine import TRIES, Engine, Lost, connect, engine
from tasks.cluster.line import Shard, Tell, Work
from tasks.endpoints.chat import Chat, work_off
from tasks.endpoints.openai_api import DRAIN, Rate
from tasks.endpoints.paid_once import Opened, PaidOnce
from tasks.endpoints.till import Till
from tasks.schema.errors import PipelineError
from tasks.schema.settings import settings

T = TypeVar("T")
G = TypeVar("G")
R = TypeVar("R")
SHARD = 64  # records
UNDER_WAY = 4  # records for each slot: enough to choose the most urgent from, few enough for memory


async def share_each(
    chat: Chat, items: Sequence[T], work: Callable[[Chat, T, G, Tell], Awaitable[R]], given: G, *, unit: str, label: str | None
) -> list[R]:
    """`work(chat, item, given, tell)` over all items; results in the items' order. Draws a bar, unless `label` is None."""
    connect()
    with progress.bar(total=len(items), unit=unit, label=label) as bar:
        gathered = _Gathered(bar)
        await share(chat, items, work, given, listener=gathered, count=len(items), at_once=len(items), name=label or unit)
    return [gathered.results[place] for place in range(len(items))]


class _Gathered:
    """Results by their places, and a bar."""

    def __init__(self, bar: Any):
        self.results: dict[int, Any] = {}
        self._bar = bar

    def begin(self, place: int, item: Any) -> None:
        return None

    def heard(self, place: int, said: Any) -> None:
        return None

    def done(self, place: int, result: Any) -> None:
        self.results[place] = result
        self._bar.update()


async def share(
    chat: Chat, items: Iterable[Any], work: Work, given: Any, *, listener: Listener, count: int, name: str, at_once: int | None = None
) -> None:
    """`work` over `count` items, started in their order; each result goes to the listener. The first error ends all.

    Here at most `at_once` are under way, or UNDER_WAY for each slot; so they are in a shard. On a cluster, `work` and `given` travel:
    a function of a module, and plain values. A Chat that no other process can open stays here.
    """
    at_once = at_once or UNDER_WAY * settings().concurrency
    if settings().cluster and count > 1 and isinstance(chat, PaidOnce) and chat.opened and isinstance(chat.till, Till):
        shared = _Shared(engine(), chat.till, chat.rate, listener, opened=chat.opened, work=work, given=given, name=name)
        await shared.work_off(items, count)
        return

    async def one(pair: tuple[int, Any]) -> None:
        place, item = pair
        listener.begin(place, item)
        listener.done(place, await work(chat, item, given, lambda said: listener.heard(place, said)))

    await work_off(enumerate(items), one, at_once=at_once)


class _Shared:
    """A run over shards."""

    def __init__(self, there: Engine, till: Till, rate: Rate, listener: Listener, *, opened: Opened, work: Work, given: Any, name: str):
        self._engine, self._listener, self._opened = there, listener, opened
        self._work, self._given, self._name = work, given, name
        self._post = there.post()
        self._desk = Desk(self._post, till, rate, listener)
        self._running: set[asyncio.Future[Any]] = set()

    async def work_off(self, items: Iterable[Any], count: int) -> None:
        concurrency = self._opened.settings.concurrency
        under_way = min(self._engine.workers(), concurrency, count)
        slots = concurrency // under_way
        self._opened = self._opened._replace(settings=self._opened.settings.model_copy(update={"concurrency": slots}))
        shards = _shards(items, size=min(SHARD, -(-count // under_way)))
        serving = asyncio.create_task(self._desk.serve())
        working = asyncio.create_task(work_off(shards, self._one, at_once=under_way))
        try:
            await asyncio.wait({serving, working}, return_when=asyncio.FIRST_COMPLETED)
            await (serving if serving.done() else working)
        finally:
            working.cancel()
            await self._end()
            serving.cancel()
            await asyncio.wait({serving, working})

    async def _end(self) -> None:
        """Let shards that are still under way end, so that what they have asked for is kept: it is paid for."""
        if running := [future for future in self._running if not future.done()]:
            self._desk.stop()
            await asyncio.wait(running, timeout=DRAIN + 1)

    async def _one(self, items: list[tuple[int, Any]]) -> None:
        """A shard to its end, by another worker where one dies."""
        why = ""
        for _ in range(TRIES):
            box = self._desk.open(place for place, _ in items)
            for place, item in items:
                self._listener.begin(place, item)
            shard = Shard(items, self._work, self._given, self._opened, UNDER_WAY * self._opened.settings.concurrency)
            future = asyncio.wrap_future(self._engine.submit(self._name, line.run, self._post, box, shard))
            self._running.add(future)
            try:
                await asyncio.shield(future)
                await self._desk.finished(box)
            except Lost as lost:
                why = str(lost)
            left = self._desk.close(box)
            if not left:
                return
            items = [(place, item) for place, item in items if place in left]
            progress.say(f"cluster: a worker died ({why}); {len(items)} records of {self._name} are tried again")
        raise PipelineError(f"{TRIES} workers of the cluster died over one shard ({why}); look after them and run again, replies are kept")


def _shards(items: Iterable[Any], *, size: int) -> Iterator[list[tuple[int, Any]]]:
    numbered = enumerate(items)
    while shard := list(islice(numbered, size)):
        yield shard
