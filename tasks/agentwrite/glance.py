"""A draft in the making, as those who watch need it: small, so that it can come from another process."""

from collections.abc import Callable
from typing import NamedTuple

from tasks.agentwrite.paragraph_checks import Unwritable
from tasks.agentwrite.writer import Event, See, write_draft
from tasks.endpoints.chat import Chat
from tasks.schema.params import Bounds, Write
from tasks.schema.records import Draft, Plan
from tasks.text.counts import count_words
from tasks.tracking.traces import Exchange


class Glance(NamedTuple):
    """What is kept of a request of a draft and its reply."""

    number: int | None  # of the paragraph; None: a summary
    good: bool
    prompt: int  # tokens
    completion: int
    characters: int  # of the prompt
    repeated: int  # of these, what the paragraph before began with
    words: int  # of the answer, where it is the first good one of its paragraph
    exchange: Exchange | None  # where the sample is traced


class Todo(NamedTuple):
    plan: Plan
    traced: bool


class Manner(NamedTuple):
    """How all drafts are written."""

    write: Write
    bounds: Bounds  # of a paragraph's words


async def drafted(chat: Chat, todo: Todo, manner: Manner, tell: Callable[[Glance], None]) -> Draft | Unwritable:
    """The draft, or why there is none; tells of each request."""
    return await write_draft(chat, todo.plan, write=manner.write, bounds=manner.bounds, see=_glancing(tell, traced=todo.traced))


def _glancing(tell: Callable[[Glance], None], *, traced: bool) -> See:
    before, written = "", set[int]()

    def see(event: Event) -> None:
        nonlocal before
        prompt, usage = event.request.messages[-1].content, event.reply.usage
        repeated, words = shared(before, prompt), 0
        if event.number:  # a summary's prompt has another form; the next paragraph's begins as the last one's did
            before = prompt
            if event.fault is None and event.number not in written:
                written.add(event.number)
                words = count_words(event.reply.text)
        seen = exchange(event) if traced else None
        tell(Glance(event.number, event.fault is None, usage.prompt, usage.completion, len(prompt), repeated, words, seen))

    return see


def exchange(event: Event) -> Exchange:
    """An event as a trace shows it."""
    fault = f"{event.fault.reason}: {event.fault.detail}" if event.fault else None
    return Exchange(event.name, event.request.messages, event.request.sample, event.reply, fault, event.reply.seconds)


def shared(before: str, prompt: str) -> int:
    """Characters of the longest common beginning."""
    low, high = 0, min(len(before), len(prompt))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if prompt.startswith(before[low:middle], low) else (low, middle - 1)
    return low
