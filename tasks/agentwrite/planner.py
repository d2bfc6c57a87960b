"""From a teacher's plan text to a strict plan.

Tolerant in what it reads (preambles, bold, list markers, both languages, ranges, full-width digits), strict in what it
returns: paragraphs numbered 1 to n without a gap, each with a point and a word count, n within bounds.
"""

import re
import unicodedata

from tasks.endpoints.chat import Chat, Request, user
from tasks.prompts import fill
from tasks.schema.errors import ReplyError
from tasks.schema.params import Bounds, PlanSection
from tasks.schema.records import Instruction, Message, Plan, Step

MAX_WORDS = 100_000  # of one paragraph; a larger count is a misprint

_STEP = re.compile(
    r"^\W*(?:\d+[.)]\W*)?"
    r"(?:(?:Paragraph|Para|Step)\s*(?P<en>\d+)|(?:第\s*(?P<zh>\d+)\s*段|段落\s*(?P<zh2>\d+)))\W*(?P<rest>.*)$",
    re.IGNORECASE,
)
_COUNT = re.compile(
    r"[\W_]*(?:Word\s*Count|Words|字数)[\W_]*(?P<low>\d[\d,]*)(?:\s*(?:[-–—~]|to|至|到)\s*(?P<high>\d[\d,]*))?\W*(?:words?|字|characters?)?\W*$",
    re.IGNORECASE,
)
_POINT = re.compile(r"^[\W_]*(?:Main\s*Points?|要点|主要内容|内容)[\W_]*", re.IGNORECASE)


async def make_plan(chat: Chat, instruction: Instruction, *, plan: PlanSection) -> Plan:
    """Ask for a plan; a bad one is asked for again with what was wrong. Raises ReplyError after plan.tries."""
    prompt = fill(
        "plan",
        instruction=instruction.text,
        words=str(instruction.words),
        min_words=str(plan.paragraph_words.min),
        max_words=str(plan.paragraph_words.max),
    )
    request = user(prompt)
    for sample in range(plan.tries):
        reply = await chat(request)
        try:
            if reply.finish_reason == "length":
                raise ReplyError("the plan was cut off at the token limit")
            steps = parse_plan(reply.text, max_paragraphs=plan.max_paragraphs)
            budgeted = reconcile(steps, instruction.words, bounds=plan.paragraph_words, deviation=plan.deviation)
            return Plan(instruction=instruction, steps=budgeted)
        except ReplyError as error:
            problem = error
            request = _again(prompt, reply.text, str(error), sample + 1)
    raise problem


def _again(prompt: str, reply: str, problem: str, sample: int) -> Request:
    complaint = f"This plan cannot be used: {problem}. Give the whole plan again, one line per paragraph, in exactly the form asked for."
    conversation = (("user", prompt), ("assistant", reply), ("user", complaint))
    return Request(tuple(Message(role=role, content=text) for role, text in conversation), sample)  # type: ignore[arg-type]


def parse_plan(text: str, *, max_paragraphs: int) -> tuple[Step, ...]:
    """The steps of a plan text. Lines that are no step (a preamble, a closing remark) are skipped.

    Raises ReplyError saying which paragraph lacks what: no step at all, a number missing or twice, no word count, a count
    of 0 or beyond MAX_WORDS, more than `max_paragraphs`.
    """
    steps: list[Step] = []
    for line in unicodedata.normalize("NFKC", text).splitlines():
        if match := _STEP.match(line):
            number = int(match["en"] or match["zh"] or match["zh2"])
            if number != len(steps) + 1:
                raise ReplyError(f"paragraph {number} stands where paragraph {len(steps) + 1} should")
            steps.append(_step(number, match["rest"]))
    if not steps:
        raise ReplyError("there is no line of the form 'Paragraph 1 - Main Point: … - Word Count: …'")
    if len(steps) > max_paragraphs:
        raise ReplyError(f"{len(steps)} paragraphs, at most {max_paragraphs} are allowed")
    return tuple(steps)


def _step(number: int, rest: str) -> Step:
    count = _COUNT.search(rest)
    if not count:
        raise ReplyError(f"paragraph {number} has no word count")
    low = int(count["low"].replace(",", ""))
    high = int((count["high"] or count["low"]).replace(",", ""))
    words = round((low + high) / 2)
    if not 0 < words <= MAX_WORDS:
        raise ReplyError(f"paragraph {number} has a word count of {words}")
    point = _POINT.sub("", rest[: count.start()]).strip(" -–—*_:|[]")
    if not point:
        raise ReplyError(f"paragraph {number} has no main point")
    return Step(point=point, words=words)


def reconcile(steps: tuple[Step, ...], asked: int, *, bounds: Bounds, deviation: float) -> tuple[Step, ...]:
    """Word budgets that add up to the asked length and lie within `bounds`.

    A plan whose total lies within `deviation` (a share of the asked length) keeps its budgets. Raises ReplyError when the
    paragraphs cannot carry the asked length: too few or too many of them.
    """
    total = sum(step.words for step in steps)
    if abs(total - asked) > deviation * asked:
        steps = tuple(step.model_copy(update={"words": max(1, round(step.words * asked / total))}) for step in steps)
    clipped = tuple(step.model_copy(update={"words": min(max(step.words, bounds.min), bounds.max)}) for step in steps)
    total = sum(step.words for step in clipped)
    if abs(total - asked) > deviation * asked:
        raise ReplyError(f"{len(steps)} paragraphs of {bounds.min} to {bounds.max} words cannot add up to the {asked} that are asked for")
    return clipped


def render(steps: tuple[Step, ...]) -> str:
    """A plan as the writer sees it, in the form that `parse_plan` reads."""
    return "\n".join(render_step(number, step) for number, step in enumerate(steps, 1))


def render_step(number: int, step: Step) -> str:
    return f"Paragraph {number} - Main Point: {step.point} - Word Count: {step.words} words"
