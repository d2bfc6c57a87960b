"""Chat: the interface to every model, an async callable from a request to a reply; and functions that map it over many records.

A role's Chat is a stack of wrappers over this protocol, assembled in roles.py:

    CachedChat      cached.py      sends no request again that was already paid for
    RetryingChat    retrying.py    when and how often a request is sent: slots, rate limits, back-off, cause of failures
    BudgetedChat    budgeted.py    reserves money and disk space for each try, records its reply before the caller gets it
    HttpChat        openai_api.py  one POST: dialect, timeout, redaction; returns a Reply or raises a failure
                                   with a transport of batches: BatchChat, batching.py
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from pydantic import BaseModel

from tasks import progress
from tasks.schema.finish import Finish, finish_of
from tasks.schema.records import Message, Usage
from tasks.schema.settings import settings
from tasks.store import Spool
from tasks.text.live_checks import StoppedReply, Watch

T = TypeVar("T")
R = TypeVar("R")


class Request(NamedTuple):
    """A request to a model. Messages, sample and schema are part of the journal's key; the other fields are not."""

    messages: tuple[Message, ...]
    sample: int = 0  # sample index: a new index samples a new reply, the same index returns the recorded reply
    schema: Mapping[str, object] | None = None  # JSON schema of the reply, for endpoints that support it
    # Not part of the key. Messages for endpoints without JSON schema support; empty: `messages` with the schema added to the prompt.
    fallback: tuple[Message, ...] = ()
    # Not part of the key: `words` and `urgency` decide when the request is sent and how long it may take.
    words: int | None = None  # expected length of the reply; the timeout grows with it
    urgency: float = 0.0  # words left in its chain of requests, this one included: the longest chain goes first
    watch: Watch | None = None  # not part of the key: the reply is checked while it comes, and may be stopped
    record: str = ""  # not part of the key; for the ledger: the id of the record that the request is for
    way: str = ""  # not part of the key; for the ledger: how that record is made
    # Set by a wrapper for the wrappers below it.
    key: str = ""  # under which the reply is recorded (CachedChat)
    attempt: int = 1  # which try this is (RetryingChat)


class Reply(NamedTuple):
    """A reply. The model's thoughts are in `reasoning` only, and no word count or score includes them."""

    text: str
    finish_reason: str  # the endpoint's own word, empty if missing; `finish` classifies it
    usage: Usage
    seconds: float  # duration of the paid call, also for a recorded reply
    reasoning: str = ""
    inline: bool = False  # the thoughts were part of the text; a script that does not know thoughts would count them
    role: str = ""  # for messages
    stopped: StoppedReply | None = None  # why it was stopped while it came; it is no answer then
    saved: int = 0  # tokens that a stopped reply did not take, at most
    batched: bool = False  # it came by a batch, at a lower price; `seconds` is 0

    @property
    def finish(self) -> Finish:
        """How the reply ended, classified by the table of finish reasons (schema/finish.py)."""
        return finish_of(self.finish_reason)


def why_empty(reply: Reply) -> str:
    """Returns why a reply has no text, and what to do about it."""
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


def stopped(reply: Reply, found: StoppedReply, watch: Watch, *, saved: int) -> Reply:
    """Returns a reply that was stopped. It is no answer: it has its beginning only if the `watch` keeps it, and no text otherwise.

    `saved`: tokens that it did not take, at most.
    """
    beginning = reply.text.lstrip()[: found.at] if watch.keeps else ""
    return reply._replace(text=beginning, reasoning="", finish_reason="stopped", stopped=found._replace(at=0), saved=saved)


class Chat(Protocol):
    """A model: an async callable from a request to a reply."""

    async def __call__(self, request: Request) -> Reply:
        """Returns the reply. Raises Unanswered if only this request fails, EndpointError if the endpoint answers no request."""
        ...


def user(text: str, *, sample: int = 0, schema: Mapping[str, object] | None = None) -> Request:
    """Returns a request of one user message."""
    return Request((Message(role="user", content=text),), sample, schema)


async def for_each_async(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int | None = None) -> None:
    """Runs `work` over the items and starts them in order. The first error cancels the other items and is raised.

    At most `at_once` items are in progress; by default settings.items_at_once.
    """
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once or settings().items_at_once):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def spool_async(
    items: Iterable[T], work: Callable[[T], Awaitable[BaseModel]], spool: Spool, *, total: int, unit: str, label: str | None
) -> None:
    """Run `work` over items that are read as they are worked on. Memory holds those under way; the records go to the spool, in the items'
    order, behind what is in it."""
    first = len(spool)
    with progress.bar(total=total, unit=unit, label=label) as bar:

        async def one(turn: tuple[int, T]) -> None:
            place, item = turn
            spool.put(place, await work(item))
            bar.update()

        await for_each_async(enumerate(items, first), one)


async def map_async(items: Sequence[T], work: Callable[[T], Awaitable[R]], *, unit: str, label: str | None) -> list[R]:
    """Runs `work` over all items at once and returns the results in the order of the items.

    Draws a progress bar unless `label` is None. The role limits the requests in flight (settings.concurrency). The first error cancels the
    other items and is raised.
    """
    results: dict[int, R] = {}
    with progress.bar(total=len(items), unit=unit, label=label) as bar:

        async def one(place: int) -> None:
            results[place] = await work(items[place])
            bar.update()

        await for_each_async(range(len(items)), one, at_once=len(items))
    return [results[place] for place in range(len(items))]
