"""write.consistency: contradictions of a finished draft are found, and the words that contradict earlier ones are replaced.

The teacher checks the draft with the evaluator's prompt (judging/contradictions.py), because the stage write opens no other role, and the
judge that later grades the student must not have had a hand in its training texts. A patch replaces the quoted words and nothing else. It
is kept only if

- the checker, shown the patched paragraph with its neighbours and the earlier passage, finds no contradiction in the new words,
- the paragraph has no fault: repetition, language, a broken sentence, words of the prompt (paragraph_checks.py),
- the new words have about the length of the old ones, and a text that had its length still has it.

Otherwise the old words stay, and the draft's record says why. All decisions depend on replies alone, so a rerun makes the same requests.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from tasks.agentwrite.budget import on_target
from tasks.agentwrite.drafting import Drafting, Event
from tasks.agentwrite.paragraph_checks import find_fault
from tasks.endpoints.chat import Reply, Request, user
from tasks.endpoints.ledger import CONSISTENCY
from tasks.judging.contradictions import PART, REPLY, JudgeReach, PartWindow, merged, read_window, span_of, windows
from tasks.judging.replies import plain, said, values
from tasks.judging.templates import mark
from tasks.judging.verdicts import draw, first_readable
from tasks.prompts import fill
from tasks.schema.errors import BadInput, ReplyError
from tasks.schema.records import Consistency, Contradiction, Patch, Usage
from tasks.text.counts import count_words
from tasks.text.quotes import Span, quotable

JOINT = "\n\n"  # between paragraphs
TAKES = 2  # new wordings of one place, at most
CHANGE, FEW = 0.5, 6  # share of the old words, and words, by which the length of the new ones may differ: the larger of the two
PART_SHARE = 1 / 2  # of a request's room, for the checked part
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"replacement": {"type": "string"}},
    "required": ["replacement"],
    "additionalProperties": False,
}


async def make_consistent(drafting: Drafting, paragraphs: Sequence[str], *, max_tokens: int | None) -> tuple[list[str], Consistency]:
    """The paragraphs with patches, and what was found and done. `max_tokens`: of the teacher's replies; None: not known."""
    return await _Pass(drafting, paragraphs, max_tokens).run()


class _Place(NamedTuple):
    """Characters of one paragraph. `number`: its index."""

    number: int
    start: int
    end: int


class _Pass:
    """One draft in the consistency pass."""

    def __init__(self, drafting: Drafting, paragraphs: Sequence[str], max_tokens: int | None):
        self._d, self._parts = drafting, list(paragraphs)
        self._starts = [0, *accumulate(len(part) + len(JOINT) for part in paragraphs[:-1])]
        self._context, self._reply = drafting.write.context, min(REPLY, max_tokens or REPLY)
        self._calls = 0

    async def run(self) -> tuple[list[str], Consistency]:
        text = JOINT.join(self._parts)
        quotes, found, unread = quotable(text), list[Contradiction](), 0
        checked = self._windows(text)
        for window in checked:
            read = await read_window(self._chat, text, quotes, window, tries=self._d.write.tries)
            found += read.value or ()
            unread += read.value is None
        patches = list[Patch]()
        for one in reversed(merged(found)):  # from the last place on, so that the places before it stay where they are
            patches.append(await self._patched(one))
        done = Consistency(parts=len(checked), unread=unread, calls=self._calls, patches=tuple(reversed(patches)))
        return self._parts, done

    async def _chat(self, request: Request) -> Reply:
        """The teacher, with the draft's id for the ledger."""
        self._calls += 1
        reply = await self._d.chat(request._replace(record=self._d.plan.instruction.id, way=CONSISTENCY))
        self._d.see(Event("consistency", None, request, reply, None))
        return reply

    def _windows(self, text: str) -> list[PartWindow]:
        """The parts to check with their evidence. Nothing if write.context has no room for a text."""
        reach = JudgeReach(context=self._context, reply=min(self._reply, self._context // 4))
        words = count_words(text)
        if reach.room <= 0 or not words:
            return []
        part = round(PART_SHARE * reach.room * words / len(text.encode()))
        try:
            return windows(text, reach._replace(part=max(1, min(PART, part))))
        except BadInput:  # one sentence that is longer than the context
            return []

    def _place(self, span: Span) -> _Place | None:
        """The paragraph that has the whole span; None if it is in two."""
        number = max(place for place, start in enumerate(self._starts) if start <= span.start)
        start, end = span.start - self._starts[number], span.end - self._starts[number]
        return _Place(number, start, end) if end <= len(self._parts[number]) else None

    async def _patched(self, one: Contradiction) -> Patch:
        """Replace the later words of a contradiction if a new wording passes all checks."""
        place, after, problem = self._place(span_of(one.later)), None, "the words are in two paragraphs"
        first = self._place(span_of(one.earlier)) or _Place(max(p for p, s in enumerate(self._starts) if s <= one.earlier.start), 0, 0)
        if place and self._parts[place.number][place.start : place.end] != one.later.text:
            place, problem = None, "the words were replaced already"
        for take in range(TAKES if place else 0):
            assert place
            found = await first_readable(
                self._chat,
                (self._request(one, first, place, draw(take, attempt)) for attempt in range(self._d.write.tries)),
                lambda reply: read_replacement(reply, one.later.text),
            )
            if found.value is None:
                problem = found.problem or "no new words"
                continue
            fault = self._fault(place, found.value) or await self._still_wrong(first, place, found.value)
            if fault is None:
                old = self._parts[place.number]
                self._parts[place.number] = f"{old[: place.start]}{found.value}{old[place.end :]}"
                after = found.value
                break
            problem = fault
        number = place.number if place else max(at for at, start in enumerate(self._starts) if start <= one.later.start)
        return Patch(
            kind=one.kind,
            paragraph=number + 1,
            earlier=one.earlier.text,
            before=one.later.text,
            after=after,
            problem=None if after is not None else problem[:200],
        )

    def _request(self, one: Contradiction, first: _Place, place: _Place, sample: int) -> Request:
        earlier, passage = self._parts[first.number], self._near(place.number, self._parts[place.number])
        texts = {"earlier": earlier, "passage": passage, "right": one.earlier.text, "wrong": one.later.text}
        return user(fill("patch_words", **texts, why=one.why or "-", mark=mark(*texts.values())), sample=sample, schema=SCHEMA)

    def _near(self, number: int, paragraph: str) -> str:
        """A paragraph with its neighbours."""
        return JOINT.join([*self._parts[max(0, number - 1) : number], paragraph, *self._parts[number + 1 : number + 2]])

    def _fault(self, place: _Place, new: str) -> str | None:
        """Why new words cannot take their place; None: they can, as far as rules tell."""
        old = self._parts[place.number]
        paragraph = f"{old[: place.start]}{new}{old[place.end :]}"
        others = self._d.new_earlier()
        for number, part in enumerate(self._parts):
            if number != place.number:
                others.add(part)
        asked = self._d.planned[place.number] if place.number < len(self._d.planned) else count_words(old)
        if fault := find_fault(Reply(paragraph, "stop", Usage(0, 0), 0.0), others, asked=asked):
            return f"{fault.reason}: {fault.detail}"
        if new.strip() in old[: place.start] or new.strip() in old[place.end :]:
            return "the new words repeat their paragraph"
        total, target = sum(map(count_words, self._parts)), self._d.target
        if on_target(total, target) and not on_target(total + count_words(paragraph) - count_words(old), target):
            return "the text would miss its length"
        return None

    async def _still_wrong(self, first: _Place, place: _Place, new: str) -> str | None:
        """Why the checker is not content with new words; None: it finds nothing wrong with them."""
        old, number = self._parts[place.number], place.number
        part = self._near(number, f"{old[: place.start]}{new}{old[place.end :]}")
        before = "" if abs(first.number - number) <= 1 else f"{self._parts[first.number]}{JOINT}"
        start = len(before) + place.start + (len(self._parts[number - 1]) + len(JOINT) if number else 0)
        text = f"{before}{part}"
        window = PartWindow(Span(0, len(before)), Span(len(before), len(text)))
        read = await read_window(self._chat, text, quotable(text), window, tries=self._d.write.tries)
        if read.value is None:
            return f"the check could not be read: {read.problem}"
        words = Span(start, start + len(new))
        wrong = next((one for one in read.value if words.overlaps(span_of(one.later)) or words.overlaps(span_of(one.earlier))), None)
        return f"the check finds a contradiction in the new words: {wrong.why}" if wrong else None


def read_replacement(reply: str, old: str) -> str:
    """The new words in a reply, for `old` ones. Raises ReplyError that says what is wrong with the reply."""
    found = [body for one in values(said(reply)) if isinstance(body := plain(one.value), dict) and "replacement" in body]
    new = found[-1]["replacement"] if found else None
    if not isinstance(new, str) or not new.strip():
        raise ReplyError("no JSON object with the text replacement")
    new = new.strip()
    if new == old.strip():
        raise ReplyError("the replacement is the old wording")
    if "\n" in new and "\n" not in old:
        raise ReplyError("the replacement has several lines")
    words, before = count_words(new), count_words(old)
    if abs(words - before) > max(FEW, CHANGE * before):
        raise ReplyError(f"the replacement has {words} words in place of {before}")
    return new
