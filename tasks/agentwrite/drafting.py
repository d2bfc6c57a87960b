"""The requests of one draft: each paragraph is requested with the instruction, the whole plan and all text so far (paper, section 3.1).

Every reply is checked. An unusable paragraph is requested again with a new sample index, so the journal keeps both replies. Word
budgets are adjusted to the words written so far, and the last paragraph is requested again while the text misses its length.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tasks.agentwrite.budget import next_words, on_target
from tasks.agentwrite.context import Frame, Window, overflow
from tasks.agentwrite.paragraph_checks import Earlier, Unwritable, find_fault
from tasks.endpoints.chat import Chat, Reply, Request, user
from tasks.prompts import fill
from tasks.schema.errors import Unanswered
from tasks.schema.params import Bounds, Write
from tasks.schema.records import Plan, Reason, Step, Way
from tasks.text.counts import count_words
from tasks.text.live_checks import Watch


class Event(NamedTuple):
    """A request of a draft with its reply and fault, for progress and traces."""

    name: str  # "paragraph 3 of 12", "summary"
    number: int | None  # paragraph number, from 1; None: a summary
    request: Request
    reply: Reply
    fault: Unwritable | None
    parts: Mapping[int, str] = {}  # accepted paragraphs by number, of a reply that has several


See = Callable[[Event], None]


class Lost(Exception):
    """Raised when a draft cannot be written."""

    def __init__(self, why: Unwritable):
        super().__init__(why.detail)
        self.why = why


class Drafting:
    """The state of one draft that is being written. `way`: for the ledger, how write.mode direct is writing it; None in other modes."""

    def __init__(self, chat: Chat, plan: Plan, write: Write, bounds: Bounds, see: See, *, way: Way | None = None):
        self.chat, self.plan, self.write, self.bounds, self.see, self.way = chat, plan, write, bounds, see, way
        self.frame = Frame(plan, context=write.context, template=write.prompt)
        self.earlier = Earlier(plan.instruction, self.frame.outline)
        self.planned = [step.words for step in plan.steps]
        self.target = plan.instruction.words if write.feedback else sum(self.planned)

    async def serial(self, begun: Sequence[str] = ()) -> list[str]:
        """The paragraphs one after another; each request shows the earlier ones. `begun`: the first ones, which `earlier` has already.
        Raises Lost."""
        paragraphs = list(begun)
        words = [count_words(paragraph) for paragraph in begun]
        window = Window()
        for number, step in enumerate(self.plan.steps[len(begun) :], len(begun) + 1):
            window = await self.fitted(window, paragraphs, number)
            if self.write.feedback:
                step = step.model_copy(update={"words": next_words(self.planned, words, target=self.target, bounds=self.bounds)})
            prompt = self.frame.prompt(number, step, window.text(paragraphs))
            last = number == len(self.plan.steps) and self.write.feedback
            paragraph = await self._paragraph(number, step, prompt, self.earlier, so_far=sum(words) if last else None)
            self.earlier.add(paragraph)
            paragraphs.append(paragraph)
            words.append(count_words(paragraph))
        return paragraphs

    async def parallel(self) -> list[str]:
        """All paragraphs at once, without the other paragraphs in the request: the paper's ablation, which loses coherence."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._alone(number, step)) for number, step in enumerate(self.plan.steps, 1)]
        written = [task.result() for task in tasks]
        if lost := next((each for each in written if isinstance(each, Unwritable)), None):
            raise Lost(lost)
        return [each for each in written if isinstance(each, str)]

    async def _alone(self, number: int, step: Step) -> str | Unwritable:
        earlier = Earlier(self.plan.instruction, self.frame.outline)
        try:
            return await self._paragraph(number, step, self.frame.prompt(number, step, ""), earlier)
        except Lost as lost:
            return lost.why

    async def _paragraph(self, number: int, step: Step, prompt: str, earlier: Earlier, *, so_far: int | None = None) -> str:
        """A paragraph without faults. With `so_far` (words before it), the reply that brings the text closest to its target.

        Raises Lost after write.tries unusable replies, or if the endpoint gives no reply.
        """
        name, left = f"paragraph {number} of {len(self.planned)}", float(sum(self.planned[number - 1 :]))
        best: str | None = None
        takes = faults = 0
        while True:
            request = user(prompt, sample=takes + faults)._replace(words=step.words, urgency=left)
            fault, text = await self.ask(name, number, request, earlier, asked=step.words)
            if fault:
                faults += 1
                if best is None and faults >= self.write.tries:
                    raise Lost(fault._replace(detail=f"{name}, {faults} tries: {fault.detail}"))
            else:
                takes += 1
                best = text if best is None or (so_far is not None and self._closer(text, best, so_far)) else best
            if best is not None and (so_far is None or takes + faults > self.write.retakes or self._lands(best, so_far)):
                return best

    def _closer(self, text: str, best: str, so_far: int) -> bool:
        return abs(so_far + count_words(text) - self.target) < abs(so_far + count_words(best) - self.target)

    def _lands(self, text: str, so_far: int) -> bool:
        return on_target(so_far + count_words(text), self.target)

    async def ask(
        self, name: str, number: int | None, request: Request, earlier: Earlier, *, asked: int, may_be_short: bool = False
    ) -> tuple[Unwritable | None, str]:
        if self.way:
            request = request._replace(record=self.plan.instruction.id, way=self.way)
        if self.write.stop_early:
            request = request._replace(watch=Watch(self.plan.instruction.language, asked))
        try:
            reply = await self.chat(request)
        except Unanswered as error:
            raise Lost(Unwritable(Reason.UNANSWERED, f"{name}: {error}")) from None
        fault = find_fault(reply, earlier, asked=asked)
        if may_be_short and fault and fault.reason == Reason.TOO_SHORT:  # the summary of a short passage is short
            fault = None
        self.see(Event(name, number, request, reply, fault))
        return fault, reply.text.strip()

    async def fitted(self, window: Window, paragraphs: Sequence[str], number: int, *, reserved: int = 0) -> Window:
        """The window for paragraph `number`. If the text exceeds the context, older paragraphs are replaced by a new summary.

        `reserved`: bytes of the prompt that the frame does not know. Raises Lost.
        """
        room, paragraphs = self.frame.room() - reserved, list(paragraphs)
        if room <= 0:
            detail = f"instruction and plan alone take more than write.context, {self.write.context} tokens"
            raise Lost(Unwritable(Reason.TOO_LONG, detail))
        first = overflow(window, paragraphs, room=room)
        if first is None:
            return window
        words = self.frame.summary_words()
        passage = "\n\n".join(paragraphs[window.first : first])
        prompt = fill("summarize", summary=window.summary, passage=passage, words=str(words))
        name, faults = f"summary before paragraph {number}", 0
        while True:
            request = user(prompt, sample=faults)._replace(words=words, urgency=float(sum(self.planned[number - 1 :])))
            fault, text = await self.ask(name, None, request, Earlier(self.plan.instruction, ""), asked=words, may_be_short=True)
            if fault is None:
                return Window(first, text)
            faults += 1
            if faults >= self.write.tries:
                raise Lost(fault._replace(detail=f"{name}, {faults} tries: {fault.detail}"))
