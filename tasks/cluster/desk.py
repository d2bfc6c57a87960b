"""The stage's side of the line: one till, one rate and one account for all shards, and what they have done so far."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Protocol

from tasks.cluster.line import STOP
from tasks.cluster.post import DESK, Letter, Outbox
from tasks.endpoints.chat import Reply
from tasks.endpoints.openai_api import Rate
from tasks.endpoints.till import Till
from tasks.schema.records import Usage

FAREWELL = 5.0  # seconds


class Listener(Protocol):
    """Hears of each record as it goes. Places are those of the records."""

    def begin(self, place: int, item: Any) -> None:
        """Work on it begins; once more where its worker died: what was heard of it is void."""
        ...

    def heard(self, place: int, said: Any) -> None: ...

    def done(self, place: int, result: Any) -> None: ...


class _Asked(NamedTuple):
    """A request that a shard is paying for."""

    box: str
    over: "asyncio.Future[None]"


class _Open(NamedTuple):
    """A shard on its way."""

    left: set[int]  # places
    empty: asyncio.Event


class Desk:
    """Answers the shards' letters. What comes from a box that was closed, its worker being dead, is not read."""

    def __init__(self, post: Any, till: Till, rate: Rate, listener: Listener):
        self._post, self._till, self._rate, self._listener, self._outbox = post, till, rate, listener, Outbox(post)
        self._open: dict[str, _Open] = {}
        self._asked: dict[str, _Asked] = {}
        self._purses: dict[tuple[str, str], AsyncExitStack] = {}
        self._retries = Counter[str]()
        self._answers: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._names: dict[str, Callable[[str, Any], Any]] = {
            "find": self._find,
            "reserve": self._reserve,
            "keep": self._keep,
            "release": self._release,
            "rate": self._take,
            "over": self._over,
            "heard": self._heard,
            "done": self._done,
        }

    def open(self, places: Iterable[int]) -> str:
        """A box for a shard with these places."""
        box, left = secrets.token_hex(8), set(places)
        self._open[box] = _Open(left, asyncio.Event())
        return box

    async def finished(self, box: str) -> None:
        """Wait until every result of a shard that has ended is here: its letters may still be on their way."""
        await self._open[box].empty.wait()

    def close(self, box: str) -> set[int]:
        """Forget a shard: what it asked for is free for others. Returns the places without a result."""
        for key in [key for key, asked in self._asked.items() if asked.box == box]:
            self._free(key)
        for own in [own for own in self._purses if own[0] == box]:
            self._answer_by(self._close_purse(own))
        return self._open.pop(box).left

    def stop(self) -> None:
        """Tell all shards to end: requests under way are waited for, no new ones are made."""
        for box in self._open:
            self._outbox.put(box, Letter(box, None, STOP, None))

    async def serve(self) -> None:
        """Until cancelled. Raises what went wrong here, such as a disk that is full."""
        receiving = asyncio.create_task(self._receive())
        try:
            await asyncio.wait({receiving, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            (receiving if receiving.done() else self._failed).result()
        finally:
            self._outbox.put(DESK, Letter(DESK, None, STOP, None))  # to itself: a call of the cluster's that is broken off is noisy
            await asyncio.wait({receiving}, timeout=FAREWELL)
            receiving.cancel()

    async def _receive(self) -> None:
        while True:
            for letter in await self._post.receive.remote(DESK):
                if letter.name == STOP:
                    return
                self._answer_by(self._answer(letter))

    def _answer_by(self, answer: Any) -> None:
        task = asyncio.create_task(answer)
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(self, letter: Letter) -> None:
        if letter.box not in self._open:
            return
        try:
            content = await self._names[letter.name](letter.box, letter.content)
        except Exception as error:  # noqa: BLE001 (raised where it was asked for, or by `serve`)
            if letter.number is None:
                if not self._failed.done():
                    self._failed.set_exception(error)
                return
            content = error
        if letter.number is not None:
            self._outbox.put(letter.box, Letter(letter.box, letter.number, letter.name, content))

    async def _find(self, box: str, key: str) -> Reply | None:
        while (known := await self._till.find(key)) is None:
            if box not in self._open:
                return None
            if key not in self._asked:
                self._asked[key] = _Asked(box, asyncio.get_running_loop().create_future())
                return None
            await self._asked[key].over  # another shard is paying for it
        return known

    async def _reserve(self, box: str, content: tuple[str, Usage]) -> None:
        key, expected = content
        stack = AsyncExitStack()
        await stack.enter_async_context(self._till.purse(key, expected))
        self._purses[box, key] = stack

    async def _keep(self, box: str, content: tuple[str, Reply]) -> None:
        key, reply = content
        self._till.keep(key, reply)

    async def _release(self, box: str, key: str) -> None:
        await self._close_purse((box, key))

    async def _take(self, box: str, tokens: float) -> None:
        await self._rate.take(tokens)

    async def _over(self, box: str, content: tuple[str, int]) -> None:
        key, self._retries[box] = content
        self._till.over(key, retries=self._retries.total())
        self._free(key)

    async def _heard(self, box: str, content: tuple[int, Any]) -> None:
        self._listener.heard(*content)

    async def _done(self, box: str, content: tuple[int, Any]) -> None:
        place, result = content
        self._listener.done(place, result)
        open_ = self._open[box]
        open_.left.discard(place)
        if not open_.left:
            open_.empty.set()

    async def _close_purse(self, own: tuple[str, str]) -> None:
        if stack := self._purses.pop(own, None):
            await stack.aclose()

    def _free(self, key: str) -> None:
        if asked := self._asked.pop(key, None):
            asked.over.set_result(None)
