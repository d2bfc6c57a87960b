"""The requests of one draft: each paragraph is requested with the instruction, the whole plan and all text so far (paper, section 3.1).

Every reply is checked. An unusable paragraph is requested again with a new sample index, so the journal keeps both replies. Word
budgets are adjusted to the words written so far, and the last paragraph is requested again while the text misses its length.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from typing import NamedTuple, TypeVar

from tasks.agentwrite.budget import next_words, on_target
from tasks.agentwrite.context import Frame, Window, overflow
from tasks.agentwrite.memory import PROMPTS as RECORD_PROMPTS
from tasks.agentwrite.memory import DraftMemory
from tasks.agentwrite.paragraph_checks import Earlier, Unwritable, find_fault
from tasks.agentwrite.planner import render_step
from tasks.agentwrite.takes import preferred, ranked
from tasks.endpoints.chat import Chat, Reply, Request, map_async, user
from tasks.judging.verdicts import first_readable
from tasks.prompts import fill
from tasks.schema.errors import Unanswered
from tasks.schema.params import Bounds, Write
from tasks.schema.records import Message, Plan, Reason, Step, Way
from tasks.text.counts import count_words
from tasks.text.live_checks import Watch

T = TypeVar("T")
W = TypeVar("W")
COMPARED = 30  # words of a reply that compares two texts


class Event(NamedTuple):
    """A request of a draft with its reply and fault, for progress and traces."""

    name: str  # "paragraph 3 of 12", "summary"
    number: int | None  # paragraph number, from 1; None: a summary
    request: Request
    reply: Reply
    fault: Unwritable | None
    parts: Mapping[int, str] = {}  # accepted paragraphs by number, of a reply that has several
    chain: int = 0  # requests of the same chain have a common beginning; 0: the draft has one chain


See = Callable[[Event], None]


class Lost(Exception):
    """Raised when a draft cannot be written."""

    def __init__(self, why: Unwritable):
        super().__init__(why.detail)
        self.why = why


async def all_written(parts: Sequence[T], write: Callable[[T], Awaitable[W]]) -> list[W]:
    """What `write` makes of all parts at once, in their order. Raises Lost for the first one that cannot be written, when all are done."""

    async def one(part: T) -> W | Lost:
        try:
            return await write(part)
        except Lost as lost:
            return lost

    written = await map_async(parts, one, unit="part", label=None)
    if lost := next((each for each in written if isinstance(each, Lost)), None):
        raise lost
    return [each for each in written if not isinstance(each, Lost)]


class Drafting:
    """The state of one draft that is being written. `way`: for the ledger, how write.mode direct is writing it; None in other modes."""

    def __init__(self, chat: Chat, plan: Plan, write: Write, bounds: Bounds, see: See, *, way: Way | None = None, chain: int = 0):
        self.chain, self.first, self.end = chain, 0, len(plan.steps)  # the steps to write: all of them, or those of a part
        self.chat, self.plan, self.write, self.bounds, self.see, self.way = chat, plan, write, bounds, see, way
        following = write.next_prompt if write.layout == "turns" else None
        self.frame = Frame(plan, context=write.context, template=write.prompt, following=following)
        self.memory = DraftMemory(context=write.context) if write.memory == "state" else None
        self.earlier = self.new_earlier()
        self.planned = [step.words for step in plan.steps]
        self.target = plan.instruction.words if write.feedback else sum(self.planned)

    def new_earlier(self, prompts: tuple[str, ...] = ("write", "summarize")) -> Earlier:
        """For the checks of paragraphs. `prompts`: the prompt files of the requests."""
        return Earlier(self.plan.instruction, self.frame.outline, prompts=prompts + (RECORD_PROMPTS if self.memory else ()))

    def labelled(self, request: Request) -> Request:
        """A request with its record and way, for the ledger."""
        return request._replace(record=self.plan.instruction.id, way=self.way) if self.way else request

    def shown(self, window: Window, paragraphs: Sequence[str], step: Step) -> str:
        """The text so far in the request for a step: what prompt caches can reuse first, then quotes for this step."""
        text, quotes = window.text(list(paragraphs)), self.memory.quotes(step) if self.memory else ""
        return f"{text}\n\n{quotes}" if quotes else text

    async def serial(self, begun: Sequence[str] = (), window: Window = Window()) -> list[str]:
        """The paragraphs one after another; each request shows the earlier ones. `begun`: the first ones, which `earlier` has already.

        `window`: what a request shows of these; a memory has what it leaves out. Raises Lost.
        """
        paragraphs, planned = list(begun), self.planned[self.first : self.end]
        words = [count_words(paragraph) for paragraph in begun]
        first = self.first + len(begun)
        asked = list(self.plan.steps[self.first : first])  # the steps so far, with the words that were requested
        for number, step in enumerate(self.plan.steps[first : self.end], first + 1):
            window = await self.fitted(window, paragraphs, number, reserved=self._turn_bytes(window, [*asked, step]))
            if self.write.feedback:
                step = step.model_copy(update={"words": next_words(planned, words, target=self.target, bounds=self.bounds)})
            asked.append(step)
            messages = self._messages(window, asked, paragraphs)
            last = number == self.end and self.write.feedback
            paragraph = await self._paragraph(number, step, messages, self.earlier, so_far=sum(words) if last else None)
            self.earlier.add(paragraph)
            paragraphs.append(paragraph)
            words.append(count_words(paragraph))
        return paragraphs

    def _messages(self, window: Window, asked: Sequence[Step], paragraphs: Sequence[str]) -> tuple[Message, ...]:
        """The request for the last of the `asked` steps, which are those of this part so far."""
        if self.write.layout == "turns":
            first = window.first
            return self.frame.conversation(self.first + first + 1, asked[first:], paragraphs[first:], window.head)
        number, step = self.first + len(asked), asked[-1]
        return user(self.frame.prompt(number, step, self.shown(window, paragraphs, step))).messages

    def _turn_bytes(self, window: Window, asked: Sequence[Step]) -> int:
        """Bytes of the requests that a conversation repeats; 0 in one message."""
        return self.frame.turn_bytes(self.first + window.first + 1, asked[window.first :]) if self.write.layout == "turns" else 0

    def part(self, first: int, end: int, *, chain: int) -> "Drafting":
        """The state of a part of the draft, from step `first` up to `end`, that is written for itself. It has its share of the words."""
        own = Drafting(self.chat, self.plan, self.write, self.bounds, self.see, way=self.way, chain=chain)
        own.first, own.end = first, end
        own.target = round(self.target * sum(self.planned[first:end]) / sum(self.planned))
        return own

    def count_kept(self, part: "Drafting") -> None:
        """Count the updates of a part's record that failed as this draft's."""
        if self.memory and part.memory:
            self.memory.kept += part.memory.kept

    async def parallel(self) -> list[str]:
        """All paragraphs at once, without the other paragraphs in the request: the paper's ablation, which loses coherence."""
        return await all_written(range(1, len(self.plan.steps) + 1), self._alone)

    async def _alone(self, number: int) -> str:
        earlier, own, step = self.new_earlier(), copy(self), self.plan.steps[number - 1]
        own.chain, own.first, own.end = number, number - 1, number
        return await own._paragraph(number, step, user(self.frame.prompt(number, step, "")).messages, earlier)

    async def _paragraph(
        self, number: int, step: Step, messages: tuple[Message, ...], earlier: Earlier, *, so_far: int | None = None
    ) -> str:
        """A paragraph without faults. With `so_far` (words before it), the reply that brings the text closest to its target.

        With write.takes, so many replies are requested at once, and the best usable one is kept. Raises Lost after write.tries unusable
        replies, or if the endpoint gives no reply.
        """
        name, left = f"paragraph {number} of {len(self.planned)}", float(sum(self.planned[number - 1 : self.end]))

        async def take(sample: int) -> tuple[Unwritable | None, str]:
            request = Request(messages, sample, words=step.words, urgency=left)
            return await self.ask(name, number, request, earlier, asked=step.words)

        takes = await self._takes(take)
        best = await self._best([text for fault, text in takes if fault is None], name, step, earlier, so_far)
        count, faults = len(takes), [fault for fault, _ in takes if fault]
        while best is None or (so_far is not None and count - len(takes) < self.write.retakes and not self._lands(best, so_far)):
            if best is None and len(faults) >= self.write.tries:
                raise Lost(faults[-1]._replace(detail=f"{name}, {len(faults)} tries: {faults[-1].detail}"))
            fault, text = await take(count)
            count += 1
            if fault:
                faults.append(fault)
            elif best is None or (so_far is not None and self._closer(text, best, so_far)):
                best = text
        return best

    async def _takes(self, take: Callable[[int], Awaitable[tuple[Unwritable | None, str]]]) -> list[tuple[Unwritable | None, str]]:
        """The first replies, write.takes of them, requested at once. A single one that is not answered loses the paragraph."""
        if self.write.takes == 1:
            return [await take(0)]

        async def one(sample: int) -> tuple[Unwritable | None, str]:
            try:
                return await take(sample)
            except Lost as lost:
                return lost.why, ""

        found = await map_async(range(self.write.takes), one, unit="take", label=None)
        if all(fault and fault.reason == Reason.UNANSWERED for fault, _ in found):
            raise Lost(found[0][0] or Unwritable(Reason.UNANSWERED, ""))
        return found

    async def _best(self, usable: Sequence[str], name: str, step: Step, earlier: Earlier, so_far: int | None) -> str | None:
        """The best of the usable replies; None without one. Of the last paragraph, the one that brings the text closest to its target."""
        if len(usable) < 2:
            return usable[0] if usable else None
        if so_far is not None:
            return min(usable, key=lambda text: abs(so_far + count_words(text) - self.target))
        texts = ranked(usable, earlier, asked=step.words)
        if self.write.chooser == "rules":
            return texts[0]

        async def seen(request: Request) -> Reply:
            request = request._replace(words=COMPARED, urgency=float(step.words))
            reply = await self.chat(request)
            self.see(Event(f"comparison for {name}", None, request, reply, None, chain=self.chain))
            return reply

        return await preferred(texts, seen, prompt=f"{self.plan.instruction.text}\n\n{render_step(0, step).partition(' - ')[2]}")

    def _closer(self, text: str, best: str, so_far: int) -> bool:
        return abs(so_far + count_words(text) - self.target) < abs(so_far + count_words(best) - self.target)

    def _lands(self, text: str, so_far: int) -> bool:
        return on_target(so_far + count_words(text), self.target)

    async def ask(
        self, name: str, number: int | None, request: Request, earlier: Earlier, *, asked: int, may_be_short: bool = False
    ) -> tuple[Unwritable | None, str]:
        request = self.labelled(request)
        if self.write.stop_early:
            request = request._replace(watch=Watch(self.plan.instruction.language, asked))
        try:
            reply = await self.chat(request)
        except Unanswered as error:
            raise Lost(Unwritable(Reason.UNANSWERED, f"{name}: {error}")) from None
        fault = find_fault(reply, earlier, asked=asked)
        if may_be_short and fault and fault.reason == Reason.TOO_SHORT:  # the summary of a short passage is short
            fault = None
        self.see(Event(name, number, request, reply, fault, chain=self.chain))
        return fault, reply.text.strip()

    async def fitted(self, window: Window, paragraphs: Sequence[str], number: int, *, reserved: int = 0) -> Window:
        """The window for paragraph `number`. If the text exceeds the context, older paragraphs are replaced by a new summary or record.

        `reserved`: bytes of the prompt that the frame does not know. Raises Lost.
        """
        room, paragraphs = self.frame.room() - reserved - (self.memory.reserved if self.memory else 0), list(paragraphs)
        if room <= 0:
            detail = f"instruction and plan alone take more than write.context, {self.write.context} tokens"
            raise Lost(Unwritable(Reason.TOO_LONG, detail))
        first = overflow(window, paragraphs, room=room)
        if first is None:
            return window
        if self.memory:
            return await self._recorded(self.memory, window.first, first, paragraphs, number)
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

    async def _recorded(self, memory: DraftMemory, begin: int, end: int, paragraphs: Sequence[str], number: int) -> Window:
        """The window after paragraphs left it, with the record of them; the older record without a readable reply in write.tries."""
        passage, name = paragraphs[begin:end], f"record before paragraph {number}"
        left, words = float(sum(self.planned[number - 1 :])), self.frame.summary_words()
        asked = [memory.request(passage, attempt)._replace(words=words, urgency=left) for attempt in range(self.write.tries)]
        found = await first_readable(self.chat, map(self.labelled, asked), memory.read)
        for place, (request, reply) in enumerate(zip(asked, found.replies, strict=False), 1):
            unread = found.value is None or place < len(found.replies)
            self.see(Event(name, None, request, reply, Unwritable(Reason.BAD_REPLY, found.problem or "no record") if unread else None))
        return Window(end, record=memory.update(found.value, self.first + begin + 1, passage))
