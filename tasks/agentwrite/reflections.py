"""write.reflect: the teacher's note after each paragraph of a finished draft, for the traces of thinking writers (tasks/corpus/traces.py).

A request shows the instruction, the plan, the paragraph and the one after it, so that the note fits what was then written, and its cost
does not grow with the text. All notes of a draft are requested at once. A note that fails a check is requested again, write.tries times;
after that there is none, and the trace has the reflection by rule alone. The draft's text never changes.
"""

from collections.abc import Sequence

from tasks.agentwrite.drafting import Drafting, Event
from tasks.agentwrite.paragraph_checks import Unwritable
from tasks.endpoints.chat import Request, map_async, user
from tasks.endpoints.ledger import REFLECTION
from tasks.judging.templates import mark
from tasks.judging.verdicts import first_readable
from tasks.prompts import fill
from tasks.schema.errors import ReplyError
from tasks.schema.records import Language, Reason
from tasks.text.cleaning import refusal
from tasks.text.counts import count_words
from tasks.text.thoughts import TAG
from tasks.text.wrong_language import other_language

WORDS = 60  # of a note, at most; Chinese: characters
MOST = 2 * WORDS  # more are refused
LONGEST = 20 * WORDS  # characters; more are refused
QUOTED = {"en": 60, "zh": 25}  # characters that a note may have in common with a paragraph


async def reflect(drafting: Drafting, paragraphs: Sequence[str]) -> tuple[str, ...]:
    """A note on each paragraph; "" where no reply could be used."""
    numbers = range(1, len(paragraphs) + 1)
    return tuple(await map_async(numbers, lambda number: _note(drafting, paragraphs, number), unit="note", label=None))


async def _note(drafting: Drafting, paragraphs: Sequence[str], number: int) -> str:
    finished, following = paragraphs[number - 1], paragraphs[number] if number < len(paragraphs) else ""
    instruction, steps = drafting.plan.instruction, drafting.plan.steps
    outline = drafting.frame.outline_for(steps[min(number, len(steps)) - 1])
    values = {"instruction": instruction.text, "plan": outline, "finished": finished, "next": following, "mark": mark(finished, following)}
    prompt = fill("reflect", **values, number=str(number), count=str(len(paragraphs)), words=str(WORDS))

    def read(reply: str) -> str:
        return read_note(reply, near=(finished, following), language=instruction.language)

    asked = [_request(prompt, attempt, instruction.id) for attempt in range(drafting.write.tries)]
    found = await first_readable(drafting.chat, asked, read)
    for place, (request, reply) in enumerate(zip(asked, found.replies, strict=False), 1):
        unread = found.value is None or place < len(found.replies)
        fault = Unwritable(Reason.BAD_REPLY, found.problem or "no note") if unread else None
        drafting.see(Event(f"reflection on paragraph {number} of {len(paragraphs)}", None, request, reply, fault, chain=number))
    return found.value or ""


def _request(prompt: str, attempt: int, id: str) -> Request:
    return user(prompt, sample=attempt)._replace(words=WORDS, urgency=float(WORDS), record=id, way=REFLECTION)


def read_note(reply: str, *, near: Sequence[str], language: Language) -> str:
    """The note in a reply, on one line. `near`: the paragraphs around it. Raises ReplyError that says what is wrong with the reply."""
    note = " ".join(reply.split())
    if not note:
        raise ReplyError("the note is empty")
    if (words := count_words(note)) > MOST or len(note) > LONGEST:
        raise ReplyError(f"the note has {words} words and {len(note)} characters, {WORDS} words at most are wanted")
    if tag := TAG.search(note):
        raise ReplyError(f"the note has a tag of thoughts: {tag[0]}")
    if evidence := refusal(note) or other_language(note, language):
        raise ReplyError(f"no note: {evidence}")
    if quote := _quoted(note, near, QUOTED[language]):
        raise ReplyError(f"the note repeats a paragraph: {quote}")
    return note


def _quoted(note: str, near: Sequence[str], size: int) -> str | None:
    """Characters of a note that a paragraph has too; None without any. Every common stretch of 1.5 times `size` is found."""
    flat = [" ".join(text.split()) for text in near]
    blocks = (note[start : start + size] for start in range(0, len(note) - size + 1, size // 2))
    return next((block for block in blocks if any(block in text for text in flat)), None)
