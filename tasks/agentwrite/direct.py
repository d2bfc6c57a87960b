"""write.mode direct: the text in one call, checked like paragraphs; what is missing or too long is repaired.

One call requests the whole text, or each chapter where models.teacher.max_tokens is too small for the whole. The prompt is that of the
serial mode, with many steps instead of one. The reply is divided into the plan's paragraphs (sections.py), and each is checked
(paragraph_checks.py). Then

- a text that stops early, breaks off, loops or has a faulty paragraph is continued behind its last good sentence, by the same prompt;
- a whole text that misses its length is revised paragraph by paragraph: the ones that are furthest from their planned words first;
- a call without a usable paragraph is repeated once. After that the rest is written serially; without a good part, everything is.

All decisions depend on replies alone, so a rerun from the journal makes the same requests.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tasks.agentwrite.budget import TOLERANCE, on_target
from tasks.agentwrite.context import Window
from tasks.agentwrite.drafting import Drafting, Event, Lost
from tasks.agentwrite.paragraph_checks import Earlier, Unwritable, find_fault
from tasks.agentwrite.planner import render_step
from tasks.agentwrite.sections import before_loop, divided, passages, steps_reached, whole_sentences
from tasks.endpoints.chat import Reply, Request, user
from tasks.endpoints.usage import TOKENS_PER_WORD
from tasks.prompts import fill, frame
from tasks.schema.errors import Unanswered
from tasks.schema.finish import Finish
from tasks.schema.records import Reason, Step, Usage
from tasks.text.cleaning import repeated
from tasks.text.counts import count_words
from tasks.text.endings import broken_off, ending, stops_short, strip_markup
from tasks.text.live_checks import Watch
from tasks.text.meta_comments import strip_meta_comments
from tasks.text.offers import declined
from tasks.text.wrong_language import other_language

PROMPTS = ("write", "summarize", "direct", "revise")  # their tags are no part of a text
MOST = 2  # direct calls for each paragraph of the plan, continuations included
CALLS = 2  # times that a call without a usable paragraph is made
KEPT = 0.25  # share of the plan's words from which a good beginning is kept, and the rest is written serially
PARTIAL = 0.15  # share of a step's words: a shorter beginning is left out; a step that lacks less counts as written
REVISED = 0.5  # share of the paragraphs that may be revised; beyond it the serial mode costs less
AROUND = 2  # paragraphs before and behind that a revision shows
LONGER, SHORTER = 1.5, 0.5  # times its planned words, the most and the least that a revised paragraph gets
_WHOLE = (Reason.EMPTY, Reason.REFUSAL, Reason.NON_PROSE, Reason.TOO_LONG, Reason.UNANSWERED)  # no part of such a reply is used


class DirectReply(NamedTuple):
    """What a direct call brought."""

    parts: list[str]  # paragraphs without faults, from the first requested step on
    open: str  # a beginning of the next paragraph, of whole sentences
    fault: Unwritable | None  # why it is not all that was asked for


class Direct:
    """One draft in mode direct. The drafting's `way` says at the end whether it was repaired. `max_tokens`: of one reply."""

    def __init__(self, drafting: Drafting, *, max_tokens: int | None):
        self._d, self._capacity = drafting, max_tokens / TOKENS_PER_WORD if max_tokens else float("inf")
        self._steps, self._asked = drafting.plan.steps, drafting.plan.instruction
        self._open = ""  # a beginning of the next paragraph
        self._parts = list[str]()
        self._window = Window()
        self._earlier = self._new_earlier()

    async def paragraphs(self) -> list[str]:
        """All paragraphs of the plan. Raises Lost if the text has to be written serially."""
        calls = 0
        while len(self._parts) < len(self._steps):
            calls += 1
            if calls > MOST * len(self._steps) or not await self._go_on():
                await self._finish_serially()
        if not self._lands():
            await self._revise()
        if problem := self._problem():
            raise Lost(problem)
        return self._parts

    async def _go_on(self) -> bool:
        """Make one direct call, a second one if it brings no usable paragraph. False: neither brings one."""
        first = len(self._parts)
        budgets = self._budgets(self._end(first))
        steps = [step.model_copy(update={"words": words}) for step, words in zip(self._steps[first:], budgets, strict=False)]
        prompt = await self._prompt(steps)
        last = first + len(steps)
        name = f"paragraphs {first + 1} to {last} of {len(self._steps)}"
        for sample in range(CALLS):
            request = user(prompt, sample=sample)._replace(words=sum(budgets), urgency=float(sum(self._d.planned[first:])))
            if (reply := await self._ask(request)) is None:
                return False
            written = self._read(reply, steps)
            parts = dict(enumerate(written.parts, first + 1))
            self._d.see(Event(name, None, request, reply, written.fault, parts))
            if written.parts or count_words(written.open) > count_words(self._open):
                self._accept(written)
                if len(self._parts) < last:
                    self._repaired()
                return True
        return False

    async def _ask(self, request: Request) -> Reply | None:
        """The reply; None if the endpoint answers other requests, but not this one."""
        watch = Watch(self._asked.language, request.words, keeps=True) if self._d.write.stop_early else None
        try:
            return await self._d.chat(request._replace(record=self._asked.id, way=self._d.way or "", watch=watch))
        except Unanswered:
            return None

    def _accept(self, written: DirectReply) -> None:
        for part in written.parts:
            self._earlier.add(part)
        self._parts += written.parts
        self._open = written.open

    def _repaired(self) -> None:
        """From now on the calls are repairs, also in the ledger."""
        self._d.way = "repaired"

    # What to ask for

    def _end(self, first: int) -> int:
        """The step behind the last one of the next call: all that is left, or the current chapter, as far as one reply has room."""
        left = sum(self._d.planned[first:])
        if left <= self._capacity:
            return len(self._steps)
        chapter, end, words = self._steps[first].chapter, first, 0
        share = left / -(-left // self._capacity)  # equal calls, if the plan has no chapters
        while end < len(self._steps) and (end == first or words + self._d.planned[end] <= self._capacity):
            if (chapter and self._steps[end].chapter != chapter) or (not chapter and words >= share):
                break
            words += self._d.planned[end]
            end += 1
        return end

    def _budgets(self, end: int) -> list[int]:
        """Words for each step of the next call. With write.feedback, what was written so far moves them, within the bounds."""
        first, bounds = len(self._parts), self._d.bounds
        planned = self._d.planned[first:end]
        if self._d.write.feedback:
            left = self._d.target - sum(map(count_words, self._parts))
            scale = left / sum(self._d.planned[first:])
            planned = [round(min(max(words * scale, bounds.min), bounds.max)) for words in planned]
        planned[0] = max(1, planned[0] - count_words(self._open))
        return planned

    async def _prompt(self, steps: Sequence[Step]) -> str:
        first = len(self._parts)
        listed = "\n".join(render_step(first + number, step) for number, step in enumerate(steps, 1))
        shown = [*self._parts, self._open] if self._open else self._parts
        self._window = await self._d.fitted(self._window, shown, first + 1, reserved=len(listed.encode()) + 1024)
        outline = self._d.frame.outline_for(steps[0])
        head, middle, rest, tail = frame("direct", ("text", "words", "steps"), instruction=self._asked.text, plan=outline)
        return f"{head}{self._d.shown(self._window, shown, steps[0])}{middle}{sum(step.words for step in steps)}{rest}{listed}{tail}"

    # What came

    def _read(self, reply: Reply, steps: Sequence[Step]) -> DirectReply:
        """The good paragraphs at the beginning of a reply, and why they are not all."""
        asked = sum(step.words for step in steps)
        fault = find_fault(reply, Earlier(self._asked, ""), asked=asked)
        if fault and fault.reason in _WHOLE:
            return DirectReply([], "", fault)
        said = strip_meta_comments(strip_markup(reply.text.strip()), last=True).text
        if refused := declined(said):
            fault = Unwritable(Reason.REFUSAL, refused)
        whole = before_loop(said)
        if whole != said and not reply.stopped:
            fault = Unwritable(Reason.REPEATED, f"a loop begins at character {len(whole)}: {said[len(whole) : len(whole) + 60]}")
        cut = whole != said or reply.stopped is not None or reply.finish is Finish.CUT
        broken = cut or stops_short(whole, said=reply.finish is Finish.ENDED) is not None
        if not broken and (end := ending(whole)).cause != "ended":  # such as "To be continued"
            broken, fault = True, fault or Unwritable(Reason.TRUNCATED, f"{end.cause}: {end.evidence}")
        text = whole_sentences(whole) if broken else whole
        if not text:
            return DirectReply([], "", fault or Unwritable(Reason.TRUNCATED, "no whole sentence"))
        return self._divide(text, steps, fault, broken=broken)

    def _divide(self, text: str, steps: Sequence[Step], fault: Unwritable | None, *, broken: bool) -> DirectReply:
        """The paragraphs of a text, up to the first with a fault."""
        budgets, asked = [step.words for step in steps], sum(step.words for step in steps)
        found = passages(text, at_least=1)
        words = sum(passage.words for passage in found)
        reached = len(steps)
        if broken or words < (1 - TOLERANCE) * asked:
            reached = steps_reached(text, found, steps, ended=not broken)
        if broken:  # its end is missing, however long it is
            reached = min(reached, len(steps) - 1)
        found, rest = passages(text, at_least=reached + broken), ""
        if broken:  # the last passages are the beginning of the next step
            own, so_far = len(found), words
            while own and so_far - found[own - 1].words >= sum(budgets[:reached]):
                own -= 1
                so_far -= found[own].words
            found, rest = found[:own], text[found[own].start :].strip() if own < len(found) else ""
        parts = divided(text, found, budgets[:reached]) or []
        if not parts and reached:  # fewer passages than steps: the text is too short for its plan
            return DirectReply([], "", fault or Unwritable(Reason.TOO_SHORT, f"{words} words, {asked} asked for: {text[:60]}"))
        if self._open and parts:
            parts[0] = f"{self._open}\n\n{parts[0]}"
        elif self._open and rest:
            rest = f"{self._open}\n\n{rest}"
        good, bad = self._without_faults(parts)
        if bad:
            return DirectReply(good, "", bad)
        if reached == len(steps):
            return DirectReply(good, "", None)
        return self._with_rest(good, rest, fault or Unwritable(Reason.TOO_SHORT, f"{words} words, {asked} asked for"))

    def _with_rest(self, good: list[str], rest: str, fault: Unwritable) -> DirectReply:
        """The beginning of the next paragraph is kept if it is more than a little; it is the whole paragraph if little is missing.

        The last paragraph of the plan is written again instead, because it ends the text.
        """
        place = len(self._parts) + len(good)
        words, planned = count_words(rest), self._d.planned[place]
        if words < PARTIAL * planned or self._without_faults([*good, rest])[1]:
            return DirectReply(good, "", fault)
        if words <= (1 - PARTIAL) * planned:
            return DirectReply(good, rest, fault)
        return DirectReply([*good, rest] if place + 1 < len(self._steps) else good, "", fault)

    def _without_faults(self, parts: Sequence[str]) -> tuple[list[str], Unwritable | None]:
        """The paragraphs before the first with a fault, and the fault. They are compared with each other and with the earlier ones."""
        earlier, good = self._new_earlier(self._parts), list[str]()
        for part, planned in zip(parts, self._d.planned[len(self._parts) :], strict=False):
            if fault := self._fault(part, earlier, planned):
                return good, fault
            earlier.add(part)
            good.append(part)
        return good, None

    def _fault(self, part: str, earlier: Earlier, planned: int) -> Unwritable | None:
        """The fault of a paragraph of a longer text, by the checks of the serial mode and of the stages after this one."""
        if found := find_fault(Reply(part, "stop", Usage(0, 0), 0.0), earlier, asked=planned):
            return found
        if refused := declined(part):
            return Unwritable(Reason.REFUSAL, refused)
        if seen := other_language(part, self._asked.language):
            return Unwritable(Reason.LANGUAGE, seen)
        return None

    def _new_earlier(self, parts: Sequence[str] = ()) -> Earlier:
        earlier = self._d.new_earlier(PROMPTS)
        for part in parts:
            earlier.add(part)
        return earlier

    # Repairs

    async def _finish_serially(self) -> None:
        """Write the rest paragraph by paragraph. Raises Lost if too little is written for that, or if it fails."""
        if not self._parts or sum(self._d.planned[: len(self._parts)]) < KEPT * sum(self._d.planned):
            raise Lost(Unwritable(Reason.TOO_SHORT, "no usable reply of a direct call"))
        self._repaired()
        self._d.earlier = self._earlier
        window = self._window if self._d.memory and self._window.first <= len(self._parts) else Window()
        self._parts = await self._d.serial(self._parts, window)

    async def _revise(self) -> None:
        """Request longer or shorter versions of paragraphs until the text has its length. Raises Lost if that needs too many calls."""
        self._repaired()
        most = max(1, round(REVISED * len(self._parts)))
        rooms = self._rooms()
        missing = abs(self._d.target - self._words()) - TOLERANCE * self._d.target
        if sum(sorted(rooms.values(), reverse=True)[:most]) < missing:
            raise Lost(Unwritable(Reason.TOO_SHORT, f"{self._words()} words, {self._d.target} asked for: too far for revisions"))
        for number in sorted(rooms, key=lambda number: -rooms[number])[:most]:
            if self._lands():
                return
            await self._revise_one(number, rooms[number])

    def _rooms(self) -> dict[int, int]:
        """By index of a paragraph, how many words it can become longer, or shorter if the text is too long. Without those that cannot."""
        bounds, rooms = self._d.bounds, dict[int, int]()
        for number, (part, planned) in enumerate(zip(self._parts, self._d.planned, strict=True)):
            words = count_words(part)
            if self._words() < self._d.target:
                rooms[number] = round(min(LONGER * planned, max(bounds.max, planned))) - words
            else:
                rooms[number] = words - round(max(SHORTER * planned, min(bounds.min, planned)))
        return {number: room for number, room in rooms.items() if room > 0}

    async def _revise_one(self, number: int, room: int) -> None:
        """Replace a paragraph if its new version has no fault and brings the text closer to its length."""
        old, total = self._parts[number], self._words()
        change = max(-room, min(room, self._d.target - total))
        step = self._steps[number].model_copy(update={"words": max(1, count_words(old) + change)})
        prompt = self._revision(number, step)
        others = self._new_earlier([part for place, part in enumerate(self._parts) if place != number])
        name = f"revision of paragraph {number + 1} of {len(self._parts)}"
        request = user(prompt)._replace(words=step.words, urgency=float(step.words))
        fault, new = await self._d.ask(name, None, request, others, asked=step.words)
        if fault is None and abs(total + count_words(new) - count_words(old) - self._d.target) < abs(total - self._d.target):
            self._parts[number] = new

    def _revision(self, number: int, step: Step) -> str:
        """The prompt: with the paragraphs around it, because the whole text would make each revision cost as much as a serial call."""
        near = "\n\n".join(self._parts[max(0, number - AROUND) : number + AROUND + 1])
        values = {"instruction": self._asked.text, "plan": self._d.frame.outline_for(step), "text": near}
        return fill("revise", **values, paragraph=self._parts[number], step=render_step(number + 1, step))

    # The whole

    def _words(self) -> int:
        return sum(map(count_words, self._parts))

    def _lands(self) -> bool:
        return on_target(self._words(), self._d.target)

    def _problem(self) -> Unwritable | None:
        """Why the whole is no draft; None: it is one. The checks are those that the stages after this one make."""
        text, asked = "\n\n".join(self._parts), self._asked
        if not self._lands():
            reason = Reason.TOO_SHORT if self._words() < self._d.target else Reason.TOO_LONG
            return Unwritable(reason, f"{self._words()} words, {self._d.target} asked for")
        if seen := broken_off(strip_markup(text)):
            return Unwritable(Reason.TRUNCATED, seen)
        if same := repeated(self._parts):
            return Unwritable(Reason.REPEATED, same)
        if seen := other_language(text, asked.language):
            return Unwritable(Reason.LANGUAGE, seen)
        return None
