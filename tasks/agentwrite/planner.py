"""Ask for a plan, fit it to the asked length, and show it.

A text that plan.max_paragraphs paragraphs of middling length can carry is planned on one level. A longer one is planned as chapters that
such a plan can carry, and then each chapter as paragraphs, all chapters at once; their prompts share everything but their end.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from tasks.agentwrite.plan_budgets import reconcile
from tasks.agentwrite.plan_fields import Line
from tasks.agentwrite.plan_text import parse_plan
from tasks.endpoints.chat import Chat, Reply, Request, map_async, user, why_empty
from tasks.prompts import fill, frame
from tasks.schema.errors import ReplyError, Unanswered
from tasks.schema.finish import Finish
from tasks.schema.params import Bounds, PlanSection
from tasks.schema.records import Instruction, Message, Plan, Reason, Reject, Step

__all__ = ["make_plan", "parse_plan", "plan_or_reject", "reconcile", "render", "render_step"]

WORDS_PER_LINE = 25  # of a plan, about
MOST_QUOTED = 20_000  # characters of a bad plan that are shown to the teacher again

T = TypeVar("T")


class _Size(NamedTuple):
    """What plans of one level can carry, in words."""

    paragraph: float  # the middle of its bounds
    most: int  # of a text on one level, or of a chapter
    chapter: Bounds


async def make_plan(chat: Chat, instruction: Instruction, *, plan: PlanSection) -> Plan:
    """Ask for a plan, on as many levels as it takes; a bad answer is asked for again with what was wrong.

    Raises ReplyError after plan.tries bad answers, and for a text that plan.max_paragraphs chapters of as many paragraphs cannot carry.
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
    """The plan, or why there is none."""
    try:
        return await make_plan(chat, instruction, plan=plan)
    except ReplyError as error:
        reason = Reason.UNANSWERED if isinstance(error, Unanswered) else Reason.BAD_PLAN
        return Reject(id=instruction.id, stage="plan", reason=reason, detail=str(error), source=instruction.source)


def _size(plan: PlanSection) -> _Size:
    """A chapter is at most as long as one level carries, and at least so long that paragraphs can add up to it and to any longer one."""
    bounds = plan.paragraph_words
    middle = (bounds.min + bounds.max) / 2
    most = max(1, math.floor(plan.max_paragraphs * middle))
    fewest = math.ceil((bounds.min - 1) / (bounds.max - bounds.min)) if bounds.max > bounds.min else plan.max_paragraphs
    least = bounds.min * max(1, min(fewest, plan.max_paragraphs // 2))
    return _Size(middle, most, Bounds(min=min(least, most), max=most))


async def _paragraphs(chat: Chat, instruction: Instruction, plan: PlanSection, size: _Size) -> tuple[Step, ...]:
    """The plan on one level; empty where the teacher wants more paragraphs than fit on one and the asked length bears them."""

    def read(text: str) -> tuple[Step, ...]:
        lines = parse_plan(text, max_paragraphs=plan.max_paragraphs**2)
        if len(lines) > plan.max_paragraphs and len(lines) * plan.paragraph_words.min <= instruction.words:
            return ()
        return _fitted(lines, instruction.words, plan)

    values = _values(instruction, plan.paragraph_words)
    return await _ask(chat, fill("plan", **values), read, plan, lines=instruction.words / size.paragraph, urgency=instruction.words)


async def _chapters(chat: Chat, instruction: Instruction, plan: PlanSection, size: _Size) -> Plan:
    """The plan on two levels."""

    def read(text: str) -> tuple[Step, ...]:
        lines = parse_plan(text, max_paragraphs=plan.max_paragraphs, noun="chapter")
        return reconcile(lines, instruction.words, bounds=size.chapter, deviation=0, most=plan.max_paragraphs, noun="chapter")

    prompt = fill("chapters", **_values(instruction, size.chapter), most=str(plan.max_paragraphs))
    chapters = await _ask(chat, prompt, read, plan, lines=instruction.words / size.most + 10, urgency=instruction.words)
    values = _values(instruction, plan.paragraph_words) | {"chapters": _outline(chapters), "most": str(plan.max_paragraphs)}
    head, tail = frame("chapter", ("chapter",), **values)

    async def one(number: int) -> tuple[Step, ...] | ReplyError:
        chapter = chapters[number - 1]
        prompt = f"{head}{_render_chapter(number, chapter)}{tail}"
        try:
            return await _ask(
                chat,
                prompt,
                lambda text: _fitted(parse_plan(text, max_paragraphs=plan.max_paragraphs**2), chapter.words, plan),
                plan,
                lines=chapter.words / size.paragraph,
                urgency=instruction.words,
            )
        except ReplyError as error:  # raised below, when the other chapters' answers are in: they are paid for
            return error

    planned = await map_async(range(1, len(chapters) + 1), one, unit="chapter", label=None)
    steps: list[Step] = []
    for number, paragraphs in enumerate(planned, 1):
        if isinstance(paragraphs, ReplyError):
            raise type(paragraphs)(f"chapter {number} of {len(chapters)}: {paragraphs}")
        steps += [step.model_copy(update={"chapter": number}) for step in paragraphs]
    return Plan(instruction=instruction, steps=tuple(steps), chapters=chapters)


def _values(instruction: Instruction, bounds: Bounds) -> dict[str, str]:
    return {
        "instruction": instruction.text,
        "words": str(instruction.words),
        "min_words": str(bounds.min),
        "max_words": str(bounds.max),
    }


def _fitted(lines: Sequence[Line], words: int, plan: PlanSection) -> tuple[Step, ...]:
    steps = reconcile(lines, words, bounds=plan.paragraph_words, deviation=plan.deviation, most=plan.max_paragraphs)
    if len(steps) > plan.max_paragraphs:
        raise ReplyError(f"{len(steps)} paragraphs, at most {plan.max_paragraphs} are allowed")
    return steps


async def _ask(chat: Chat, prompt: str, read: Callable[[str], T], plan: PlanSection, *, lines: float, urgency: float) -> T:
    """What `read` makes of the reply. Raises its last ReplyError when plan.tries replies were bad, Unanswered where there is none."""
    request = _sized(user(prompt), lines, urgency)
    problem = ReplyError("no plan was asked for")
    for sample in range(plan.tries):
        reply = await chat(request)
        try:
            return read(_text(reply))
        except ReplyError as error:
            problem = error
            request = _sized(_again(prompt, reply.text, str(error), sample + 1), lines, urgency)
    raise ReplyError(f"{problem} (asked {plan.tries} times)")


def _sized(request: Request, lines: float, urgency: float) -> Request:
    return request._replace(words=WORDS_PER_LINE * max(1, math.ceil(lines)), urgency=float(urgency))


def _text(reply: Reply) -> str:
    if not reply.text.strip():
        raise ReplyError(why_empty(reply))
    match reply.finish:
        case Finish.CUT:
            raise ReplyError("the plan was cut off at the token limit")
        case Finish.FILTERED:
            raise ReplyError("the endpoint's content filter stopped the plan")
        case Finish.TOOLS:
            raise ReplyError("the model called a tool in place of writing the plan")
    return reply.text


def _again(prompt: str, reply: str, problem: str, sample: int) -> Request:
    """The bad plan, and what is wrong with it; just the prompt where there is nothing to show, or too much."""
    if not 0 < len(reply.strip()) <= MOST_QUOTED:
        return user(prompt, sample=sample)
    complaint = f"This plan cannot be used: {problem}. Give the whole plan again, one line for each part, in exactly the form asked for."
    conversation = (("user", prompt), ("assistant", reply), ("user", complaint))
    return Request(tuple(Message(role=role, content=text) for role, text in conversation), sample)  # type: ignore[arg-type]


def render(steps: Sequence[Step], chapters: Sequence[Step] = ()) -> str:
    """A plan as the writer sees it, in the form that `parse_plan` reads: each chapter's line before those of its paragraphs."""
    lines: list[str] = []
    chapter = 0
    for number, step in enumerate(steps, 1):
        if chapters and step.chapter != chapter:
            chapter = step.chapter
            lines.append(_render_chapter(chapter, chapters[chapter - 1]))
        lines.append(render_step(number, step))
    return "\n".join(lines)


def render_step(number: int, step: Step) -> str:
    return f"Paragraph {number} - Main Point: {step.point} - Word Count: {step.words} words"


def _outline(chapters: Sequence[Step]) -> str:
    return "\n".join(_render_chapter(number, chapter) for number, chapter in enumerate(chapters, 1))


def _render_chapter(number: int, chapter: Step) -> str:
    return f"Chapter {number} - Main Point: {chapter.point} - Word Count: {chapter.words} words"
