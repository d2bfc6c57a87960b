"""Letters between the stage's process and its shards, by way of an actor that holds one box for each of them."""

import asyncio
from collections import defaultdict
from typing import Any, NamedTuple

DESK = "desk"  # the box of the stage's process


class Letter(NamedTuple):
    """What a shard wants, or the answer to it."""

    box: str  # of the shard
    number: int | None  # of the question, by which its answer is known; None: nothing is to be answered
    name: str
    content: Any


class Post:
    """The boxes: a Ray actor. It understands nothing of what it carries."""

    def __init__(self) -> None:
        self._boxes: defaultdict[str, asyncio.Queue[Letter]] = defaultdict(asyncio.Queue)

    async def send(self, letters: list[tuple[str, Letter]]) -> None:
        for box, letter in letters:
            self._boxes[box].put_nowait(letter)

    async def receive(self, box: str) -> list[Letter]:
        """All that lies in a box; waits for the first."""
        letters, queue = [await self._boxes[box].get()], self._boxes[box]
        while not queue.empty():
            letters.append(queue.get_nowait())
        return letters


class Outbox:
    """Sends letters together that come up while earlier ones are on their way: the busier, the cheaper each is."""

    def __init__(self, post: Any):
        self._post = post
        self._waiting: list[tuple[str, Letter]] = []
        self._sending: asyncio.Task[None] | None = None

    def put(self, box: str, letter: Letter) -> None:
        self._waiting.append((box, letter))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while self._waiting:
            letters, self._waiting = self._waiting, []
            await self._post.send.remote(letters)

    async def flush(self) -> None:
        """Wait until all is sent. Raises what went wrong."""
        if self._sending:
            await self._sending
