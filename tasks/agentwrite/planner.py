"""Request a plan, fit it to the requested length, and render it.

A plan is requested by JSON schema (plan_json.py), or as lines of text if params say so or the endpoint takes no schema (plan_text.py).

A text is planned on one level if plan.max_paragraphs paragraphs of average length are enough. A longer text is planned as chapters, and
each chapter as paragraphs. All chapters are requested at once; their prompts differ only at the end.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

from tasks.agentwrite.plan_budgets import reconcile
from tasks.agentwrite.plan_fields import PlanLine
from tasks.agentwrite.plan_json import Limits, plan_schema, read_plan
from tasks.agentwrite.plan_text import Noun, parse_plan
from tasks.endpoints.chat import Chat, Reply, Request, map_async, user, why_empty
from tasks.prompts import fill, frame
from tasks.schema.errors import ReplyError, Unanswered
from tasks.schema.finish import Finish
from tasks.schema.params import Bounds, PlanSection
from tasks.schema.records import Instruction, Message, Plan, Reason, Reject, Step

__all__ = ["make_plan", "parse_plan", "plan_or_reject", "reconcile", "render", "render_step"]

WORDS_PER_LINE = 25  # approximate words per line of a plan
MOST_QUOTED = 20_000  # characters; a longer unusable plan is not quoted in the next request

T = TypeVar("T")


class _PlanRequest(NamedTuple):
    """A plan to request."""

    prompt: Callable[[str], str]  # makes the prompt from the description of the reply's form
    lines: float  # expected in the reply
    urgency: float
    noun: Noun = "paragraph"
    limits: Limits | None = None  # of a bounded schema; None: the schema limits nothing

    def request(self, format: Literal["json", "bounded", "text"]) -> Request:
        """The request: by JSON schema with lines of text as the fallback, or as lines of text."""
        names = {"noun": self.noun, "Noun": self.noun.capitalize()}
        text = user(self.prompt(fill("plan_lines", **names)))
        if format != "text":
            schema = plan_schema(self.noun, self.limits if format == "bounded" else None)
            json = user(self.prompt(fill("plan_json", noun=self.noun)), schema=schema)
            text = json._replace(fallback=text.messages)
        return text._replace(words=WORDS_PER_LINE * max(1, math.ceil(self.lines)), urgency=float(self.urgency))


class _Size(NamedTuple):
    """Sizes of a plan, in words."""

    paragraph: float  # middle of the bounds of a paragraph
    most: int  # longest text on one level, and longest chapter
    chapter: Bounds


async def make_plan(chat: Chat, instruction: Instruction, *, plan: PlanSection) -> Plan:
    """Request a plan on one or two levels. An unusable reply is requested again with the problem.

    Raises ReplyError after plan.tries unusable replies, and if the text is too long for plan.max_paragraphs chapters of
    plan.max_paragraphs paragraphs. Raises Unanswered if the endpoint gives no reply.
    """
    size = _size(plan)
    if instruction.words > plan.max_paragraphs * size.most:
        raise ReplyError(
            f"{instruction.words} words are more than {plan.max_paragraphs} chapters of {plan.max_paragraphs} paragraphs carry, "
            f"about {plan.max_paragraphs * size.most}; raise plan.max_paragraphs or plan.paragraph_words"
        )
    if instruction.words <= size.most and (steps := await _paragraphs(chat, instruction, plan, size)):
        return Plan(instruction=instruction, steps=steps)
    return await _chapters(chat, instruction, plan, size)


async def plan_or_reject(chat: Chat, instruction: Instruction, plan: PlanSection) -> Plan | Reject:
    """The plan, or a Reject with the reason."""
    try:
        return await make_plan(chat, instruction, plan=plan)
    except ReplyError as error:
        reason = Reason.UNANSWERED if isinstance(error, Unanswered) else Reason.BAD_PLAN
        return Reject(id=instruction.id, stage="plan", reason=reason, detail=str(error), source=instruction.source)


def _size(plan: PlanSection) -> _Size:
    """The sizes. The largest chapter fits on one level; the smallest is such that paragraphs can add up to it and to any larger length."""
    bounds = plan.paragraph_words
    middle = (bounds.min + bounds.max) / 2
    most = max(1, math.floor(plan.max_paragraphs * middle))
    fewest = math.ceil((bounds.min - 1) / (bounds.max - bounds.min)) if bounds.max > bounds.min else plan.max_paragraphs
    least = bounds.min * max(1, min(fewest, plan.max_paragraphs // 2))
    return _Size(middle, most, Bounds(min=min(least, most), max=most))


async def _paragraphs(chat: Chat, instruction: Instruction, plan: PlanSection, size: _Size) -> tuple[Step, ...]:
    """The plan on one level; empty if the teacher plans more paragraphs than allowed and the requested length is enough for them."""

    def read(text: str) -> tuple[Step, ...]:
        lines = read_plan(text, max_paragraphs=plan.max_paragraphs**2)
        if len(lines) > plan.max_paragraphs and len(lines) * plan.paragraph_words.min <= instruction.words:
            return ()
        return _fitted(lines, instruction.words, plan)

    values = _values(instruction, plan.paragraph_words)
    asked = _PlanRequest(
        lambda form: fill("plan", **values, form=form),
        lines=instruction.words / size.paragraph,
        urgency=instruction.words,
        limits=_limits(instruction.words, plan),
    )
    return await _ask(chat, asked, read, plan)


async def _chapters(chat: Chat, instruction: Instruction, plan: PlanSection, size: _Size) -> Plan:
    """The plan on two levels."""

    def read(text: str) -> tuple[Step, ...]:
        lines = read_plan(text, max_paragraphs=plan.max_paragraphs, noun="chapter")
        return reconcile(lines, instruction.words, bounds=size.chapter, deviation=0, most=plan.max_paragraphs, noun="chapter")

    values = _values(instruction, size.chapter) | {"most": str(plan.max_paragraphs)}
    asked = _PlanRequest(
        lambda form: fill("chapters", **values, form=form),
        noun="chapter",
        lines=instruction.words / size.most + 10,
        urgency=instruction.words,
    )
    chapters = await _ask(chat, asked, read, plan)
    common = _values(instruction, plan.paragraph_words) | {"chapters": _outline(chapters), "most": str(plan.max_paragraphs)}
    head, middle, tail = frame("chapter", ("form", "chapter"), **common)

    async def one(number: int) -> tuple[Step, ...] | ReplyError:
        chapter = chapters[number - 1]
        asked = _PlanRequest(
            lambda form: f"{head}{form}{middle}{_render_chapter(number, chapter)}{tail}",
            lines=chapter.words / size.paragraph,
            urgency=instruction.words,
            limits=_limits(chapter.words, plan),
        )
        try:
            return await _ask(
                chat, asked, lambda text: _fitted(read_plan(text, max_paragraphs=plan.max_paragraphs**2), chapter.words, plan), plan
            )
        except ReplyError as error:  # raised below, after the replies of the other chapters, which are already paid for
            return error

    planned = await map_async(range(1, len(chapters) + 1), one, unit="chapter", label=None)
    steps: list[Step] = []
    for number, paragraphs in enumerate(planned, 1):
        if isinstance(paragraphs, ReplyError):
            raise type(paragraphs)(f"chapter {number} of {len(chapters)}: {paragraphs}")
        steps += [step.model_copy(update={"chapter": number}) for step in paragraphs]
    return Plan(instruction=instruction, steps=tuple(steps), chapters=chapters)


def _limits(words: int, plan: PlanSection) -> Limits:
    """How many paragraphs can add up to so many words, within plan.deviation."""
    fewest = math.ceil(words * (1 - plan.deviation) / plan.paragraph_words.max)
    most = math.floor(words * (1 + plan.deviation) / plan.paragraph_words.min)
    most = max(1, min(most, plan.max_paragraphs))
    return Limits(max(1, min(fewest, most)), most, plan.paragraph_words)


def _values(instruction: Instruction, bounds: Bounds) -> dict[str, str]:
    return {
        "instruction": instruction.text,
        "words": str(instruction.words),
        "min_words": str(bounds.min),
        "max_words": str(bounds.max),
    }


def _fitted(lines: Sequence[PlanLine], words: int, plan: PlanSection) -> tuple[Step, ...]:
    steps = reconcile(lines, words, bounds=plan.paragraph_words, deviation=plan.deviation, most=plan.max_paragraphs)
    if len(steps) > plan.max_paragraphs:
        raise ReplyError(f"{len(steps)} paragraphs, at most {plan.max_paragraphs} are allowed")
    return steps


async def _ask(chat: Chat, asked: _PlanRequest, read: Callable[[str], T], plan: PlanSection) -> T:
    """The result of `read` on the first usable reply. Raises the last ReplyError after plan.tries replies; Unanswered without a reply."""
    request = first = asked.request(plan.format)
    problem = ReplyError("no plan was asked for")
    for sample in range(plan.tries):
        reply = await chat(request)
        try:
            return read(_text(reply))
        except ReplyError as error:
            problem, request = error, _again(first, reply.text, str(error), sample + 1)
    raise ReplyError(f"{problem} (after {plan.tries} attempts)" if plan.tries > 1 else f"{problem} (after 1 attempt)")


def _text(reply: Reply) -> str:
    if not reply.text.strip():
        raise ReplyError(why_empty(reply))
    match reply.finish:
        case Finish.CUT:
            raise ReplyError("the plan was cut off at the token limit")
        case Finish.FILTERED:
            raise ReplyError("the endpoint's content filter stopped the plan")
        case Finish.TOOLS:
            raise ReplyError("the model called a tool instead of writing the plan")
    return reply.text


def _again(request: Request, reply: str, problem: str, sample: int) -> Request:
    """The request followed by the unusable plan and its problem; without the plan if it is empty or too long."""
    if not 0 < len(reply.strip()) <= MOST_QUOTED:
        return request._replace(sample=sample)
    complaint = f"This plan cannot be used: {problem}. Give the whole plan again, in exactly the form asked for."
    conversation = (Message(role="assistant", content=reply), Message(role="user", content=complaint))
    fallback = (*request.fallback, *conversation) if request.fallback else ()
    return request._replace(messages=(*request.messages, *conversation), fallback=fallback, sample=sample)


def render(steps: Sequence[Step], chapters: Sequence[Step] = ()) -> str:
    """A plan as text for the write prompt, in the form that `parse_plan` reads. Each chapter's line precedes its paragraphs."""
    lines: list[str] = []
    chapter = 0
    for number, step in enumerate(steps, 1):
        if chapters and step.chapter != chapter:
            chapter = step.chapter
            lines.append(_render_chapter(chapter, chapters[chapter - 1]))
        lines.append(render_step(number, step))
    return "\n".join(lines)


def render_step(number: int, step: Step) -> str:
    """A step as a line of the plan, in the form that `parse_plan` reads."""
    return f"Paragraph {number} - Main Point: {step.point} - Word Count: {step.words} words"


def _outline(chapters: Sequence[Step]) -> str:
    return "\n".join(_render_chapter(number, chapter) for number, chapter in enumerate(chapters, 1))


def _render_chapter(number: int, chapter: Step) -> str:
    return f"Chapter {number} - Main Point: {chapter.point} - Word Count: {chapter.words} words"
