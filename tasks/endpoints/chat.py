"""The one interface to any model: an async callable from a request to a reply, and a way to map it over many records.

A role's Chat is a stack of wrappers over this protocol, put together in roles.py:

    CachedChat      cached.py      a request that was paid for once is never sent again
    RetryingChat    retrying.py    when it is sent and how often: slots, rate limits, back-off, who is to blame
    BudgetedChat    budgeted.py    money and disk space are reserved for each try, its reply is recorded before anybody sees it
    HttpChat        openai_api.py  one POST: dialect, time-out, redaction, the answer as a Reply or as a failure
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from tasks import progress
from tasks.schema.finish import Finish, finish_of
from tasks.schema.records import Message, Usage
from tasks.schema.settings import settings

T = TypeVar("T")
R = TypeVar("R")
UNDER_WAY = 4  # items for each request in flight: enough to choose the most urgent request from, few enough for memory


class Request(NamedTuple):
    messages: tuple[Message, ...]
    sample: int = 0  # a new index is a new draw of the same request; the same index is the same draw, replayed
    schema: Mapping[str, object] | None = None  # JSON schema that the reply must follow, where the endpoint can do that
    # Not part of the key. What to send where the endpoint takes no JSON schema; empty: the messages, with the schema in the prompt.
    fallback: tuple[Message, ...] = ()
    # Not part of the key: when to send the request and how long to wait for its answer.
    words: int | None = None  # expected in the answer; the time-out grows with them
    urgency: float = 0.0  # words still to be written in its chain of requests, these included: the longest chain goes first
    # Set by the wrappers for those below them.
    key: str = ""  # under which the reply is recorded (CachedChat)
    attempt: int = 1  # which try this is (RetryingChat)


class Reply(NamedTuple):
    """An answer. Thoughts are in `reasoning` alone: no count and no score sees them."""

    text: str
    finish_reason: str  # as the endpoint says it; empty: it does not. What it means: `finish`
    usage: Usage
    seconds: float  # of the call that was paid, also when replayed
    reasoning: str = ""
    inline: bool = False  # the thoughts stood in the text, where a script that knows no thoughts would count them
    role: str = ""  # who was asked, for messages

    @property
    def finish(self) -> Finish:
        """How it ended, by the one table of finish reasons."""
        return finish_of(self.finish_reason)


def why_empty(reply: Reply) -> str:
    """Why a reply has no text, and what to do about it."""
    limit = f"models.{reply.role}.max_tokens" if reply.role else "max_tokens of its model in params"
    limit += " (evaluate: --max-tokens)" if reply.role == "candidate" else ""
    tokens = f" {reply.usage.completion}" if reply.usage.completion else ""
    match reply.finish:
        case Finish.CUT if reply.reasoning:
            return f"only reasoning, cut at max_tokens{tokens}: raise {limit}"
        case Finish.CUT:
            return f"no text, cut at max_tokens{tokens}: raise {limit}"
        case Finish.FILTERED:
            return "no text: stopped by the endpoint's content filter"
        case Finish.TOOLS:
            return "no text: the model called a tool"
    if reply.reasoning:
        return f"only reasoning and no text after it; if it was cut off, raise {limit}"
    return "the reply is empty"


class Chat(Protocol):
    async def __call__(self, request: Request) -> Reply:
        """Answer the request. Raises Unanswered for this request alone, EndpointError where the endpoint answers none."""
        ...


def user(text: str, *, sample: int = 0, schema: Mapping[str, object] | None = None) -> Request:
    """A request of one user message."""
    return Request((Message(role="user", content=text),), sample, schema)


async def for_each_async(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int | None = None) -> None:
    """Run `work` over the items, started in their order. The first error cancels the rest.

    At most `at_once` items are under way; by default UNDER_WAY for each request that may be in flight (settings.concurrency).
    """
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once or UNDER_WAY * settings().concurrency):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def map_async(items: Sequence[T], work: Callable[[T], Awaitable[R]], *, unit: str, label: str | None) -> list[R]:
    """Run `work` over all items at once. Results come in the order of the items.

    Draws a progress bar unless `label` is None. How many requests are in flight is limited by the role (settings.concurrency).
    The first error cancels the rest.
    """
    results: dict[int, R] = {}
    with progress.bar(total=len(items), unit=unit, label=label) as bar:

        async def one(place: int) -> None:
            results[place] = await work(items[place])
            bar.update()

        await for_each_async(range(len(items)), one, at_once=len(items))
    return [results[place] for place in range(len(items))]
