"""A shard's side: its work, and the line to the stage's process, where it asks before it pays."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, NamedTuple

from tasks.cluster.post import DESK, Letter, Outbox
from tasks.endpoints.chat import Chat, Reply, work_off
from tasks.endpoints.ledger import Account
from tasks.endpoints.openai_api import Keep
from tasks.endpoints.paid_once import Opened
from tasks.endpoints.roles import open_again
from tasks.schema.records import Usage
from tasks.schema.settings import Settings

STOP = "stop"

Tell = Callable[[Any], None]
Work = Callable[[Chat, Any, Any, Tell], Awaitable[Any]]  # from a Chat, an item and what is given to all to the result; tells what it sees


class Shard(NamedTuple):
    """Records that one worker takes at once."""

    items: Sequence[tuple[int, Any]]  # by their places
    work: Work
    given: Any
    opened: Opened
    at_once: int


def run(post: Any, box: str, shard: Shard) -> None:
    """The whole of a shard, in a worker. Results go by letter, each as it comes: what is done stays done if the worker dies."""
    asyncio.run(_run(post, box, shard))


async def _run(post: Any, box: str, shard: Shard) -> None:
    async with _line(post, box) as line:
        try:
            async with open_again(shard.opened, _Till(line, shard.opened.settings), _Rate(line, shard.opened.settings)) as chat:

                async def one(pair: tuple[int, Any]) -> None:
                    place, item = pair
                    line.tell("done", (place, await shard.work(chat, item, shard.given, lambda said: line.tell("heard", (place, said)))))

                await line.until_stopped(work_off(shard.items, one, at_once=shard.at_once))
        finally:
            await line.flush()


class _Line:
    """Questions to the stage's process, and their answers."""

    def __init__(self, post: Any, box: str):
        self._post, self._box, self._outbox, self._numbers = post, box, Outbox(post), count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._work: asyncio.Task[None] | None = None

    async def ask(self, name: str, content: Any) -> Any:
        """The answer. Raises what is raised there."""
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        self._outbox.put(DESK, Letter(self._box, number, name, content))
        try:
            return await self._asked[number]
        finally:
            del self._asked[number]

    def tell(self, name: str, content: Any) -> None:
        self._outbox.put(DESK, Letter(self._box, None, name, content))

    async def flush(self) -> None:
        await self._outbox.flush()

    async def until_stopped(self, work: Any) -> None:
        """The work to its end; let go of when the stage's process says so: what is under way is waited for, for a while."""
        self._work = asyncio.create_task(work)
        try:
            await self._work
        except asyncio.CancelledError:
            self._work.cancel()
            raise

    async def listen(self) -> None:
        while True:
            for letter in await self._post.receive.remote(self._box):
                if letter.name == STOP:
                    if self._work:
                        self._work.cancel()
                elif (waiting := self._asked.get(letter.number or 0)) and not waiting.done():
                    if isinstance(letter.content, BaseException):
                        waiting.set_exception(letter.content)
                    else:
                        waiting.set_result(letter.content)

    def cut(self, listening: "asyncio.Task[None]") -> None:
        """Nothing more will come: the stage's process is gone, or the shard is over."""
        error = None if listening.cancelled() else listening.exception()
        if error:
            for waiting in self._asked.values():
                if not waiting.done():
                    waiting.set_exception(error)


@asynccontextmanager
async def _line(post: Any, box: str) -> AsyncIterator[_Line]:
    line = _Line(post, box)
    listening = asyncio.create_task(line.listen())
    listening.add_done_callback(line.cut)
    try:
        yield line
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


class _Till:
    """The stage's till, at the other end of the line. Its account is not read here: the stage's process has the sum."""

    def __init__(self, line: _Line, settings: Settings):
        self.account = Account()
        self._line, self._capped = line, settings.spend_cap is not None

    async def find(self, key: str) -> Reply | None:
        """The reply that was paid for earlier, or is being paid for by another shard."""
        known: Reply | None = await self._line.ask("find", key)
        return known

    @asynccontextmanager
    async def purse(self, key: str, expected: Usage) -> AsyncIterator[Keep]:
        if self._capped:
            await self._line.ask("reserve", (key, expected))

        async def keep(reply: Reply) -> None:
            await self._line.ask("keep", (key, reply))

        try:
            yield keep
        finally:
            if self._capped:
                self._line.tell("release", key)

    def over(self, key: str, *, retries: int) -> None:
        self._line.tell("over", (key, retries))


class _Rate:
    """The stage's requests and tokens a minute; unasked where settings have no limit."""

    def __init__(self, line: _Line, settings: Settings):
        self._line, self._limited = line, bool(settings.requests_per_minute or settings.tokens_per_minute)

    async def take(self, tokens: float) -> None:
        if self._limited:
            await self._line.ask("rate", tokens)
