"""Collects a judge's verdicts on many answers, with repeats. Replies are read strictly; an unreadable verdict stays unscored."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from tasks.endpoints.chat import Chat, Reply, Request, spool_async, user, why_empty
from tasks.judging.rubric import parse_rubric
from tasks.judging.templates import Template
from tasks.schema.errors import ReplyError, Unanswered
from tasks.schema.finish import Finish
from tasks.schema.records import Prediction, Rubric, Verdict
from tasks.store import Spool

T = TypeVar("T")
UNFINISHED = {
    Finish.CUT: "cut off at the judge's max_tokens",
    Finish.FILTERED: "stopped by the endpoint's content filter",
    Finish.TOOLS: "the judge called a tool",
}


async def judge_all(
    chat: Chat,
    answers: Iterable[Prediction],
    verdicts: Spool,
    *,
    count: int,
    template: Template,
    repeats: int,
    tries: int,
    judge: str,
    second: bool,
    label: str | None,
) -> None:
    """`repeats` verdicts on each of `count` answers into `verdicts`, in the order of the answers. Answers are read as they are judged.

    `judge` is recorded together with the prompt's digest, because another prompt makes another judge. `second`: marks the second judge's
    verdicts. A verdict that is unreadable in `tries` replies, or not answered, is unscored and has a reason; all replies are kept. So is
    a verdict by a template with {{reference}} if the judge wrote no reference. Raises EndpointError if no request is answered.
    """
    name = f"{judge}, prompt {template.digest[:8]}"

    async def verdict(question: tuple[Prediction, int]) -> Verdict:
        answer, repeat = question
        reference = await _reference(chat, answer.item.prompt, tries) if template.referenced else _NOT_NEEDED
        if reference.value is None:
            found = FirstReadable[Rubric](None, reference.replies, f"no reference by the judge: {reference.problem}")
        else:
            prompt = template.fill(answer.item.prompt, answer.response, reference.value)
            requests = (user(prompt, sample=draw(repeat, attempt), schema=template.schema) for attempt in range(tries))
            found = await first_readable(chat, requests, lambda reply: parse_rubric(reply, answer.response))
        return Verdict(
            id=answer.item.id,
            model=answer.model,
            sample=answer.sample,
            repeat=repeat,
            second=second,
            judge=name,
            rubric=found.value,
            replies=found.texts,
            problem=found.problem,
            reasoning=thoughts_of(found.replies),
        )

    asked = ((answer, repeat) for answer in answers for repeat in range(repeats))
    await spool_async(asked, verdict, verdicts, total=count * repeats, unit="verdict", label=label)


def draw(repeat: int, attempt: int) -> int:
    """Returns the sample index of a verdict's try: Cantor's pairing function, 0 for the first.

    It depends on nothing else and is unique per pair. With more repeats or tries, all earlier replies still come from the journal.
    """
    return (repeat + attempt) * (repeat + attempt + 1) // 2 + attempt


def check_finished(reply: Reply) -> None:
    """Raises ReplyError for a reply that was cut off, filtered or ended by a tool call: its verdict may be incomplete."""
    if reply.reasoning and not reply.text.strip():
        raise ReplyError(why_empty(reply))
    if reply.finish in UNFINISHED:
        raise ReplyError(UNFINISHED[reply.finish])


class FirstReadable(NamedTuple, Generic[T]):
    """What the judge said until a reply could be read."""

    value: T | None  # None: no reply could be read
    replies: tuple[Reply, ...]
    problem: str | None  # of the last reply, or why there is none

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(reply.text for reply in self.replies)


async def first_readable(chat: Chat, requests: Iterable[Request], read: Callable[[str], T]) -> FirstReadable[T]:
    """Sends one request after another until `read` accepts the reply's text; it raises ReplyError for a text that it cannot read.

    A request that the endpoint does not answer ends the tries.
    """
    replies, problem = list[Reply](), None
    for request in requests:
        try:
            replies.append(await chat(request))
            check_finished(replies[-1])
            return FirstReadable(read(replies[-1].text), tuple(replies), None)
        except Unanswered as error:
            return FirstReadable(None, tuple(replies), str(error))
        except ReplyError as error:
            problem = str(error)
    return FirstReadable(None, tuple(replies), problem)


_NOT_NEEDED = FirstReadable("", (), None)


async def _reference(chat: Chat, prompt: str, tries: int) -> FirstReadable[str]:
    """The judge's own answer to the prompt: one for all answers, models and repeats, because equal requests are sent once."""

    def whole(reply: str) -> str:
        if not reply.strip():
            raise ReplyError("an empty text")
        return reply

    return await first_readable(chat, (user(prompt, sample=attempt) for attempt in range(tries)), whole)


def thoughts_of(replies: Sequence[Reply]) -> tuple[str, ...]:
    """The judge's thoughts before each reply; empty if no reply has thoughts."""
    return tuple(reply.reasoning for reply in replies) if any(reply.reasoning for reply in replies) else ()


def check_scored(verdicts: Iterable[Verdict], *, kept: Path) -> None:
    """Raises ReplyError if no verdict of the first judge could be read, because then the judge is unsuitable."""
    check_any_read(((one.rubric is not None, one.problem) for one in verdicts if not one.second), "verdicts", kept=str(kept))


FORMAT = "follows the output format of the prompt"


def check_any_read(found: Iterable[tuple[bool, str | None]], what: str, *, each: int = 1, kept: str = "", able: str = FORMAT) -> None:
    """Raises ReplyError if nothing of what was asked could be read, because then the judge is unsuitable.

    `found`: whether it could be read, and why not; `each`: how many of `what` one is; `kept`: where the replies are; `able`: what
    models.judge has to be.
    """
    count, problem = 0, None
    for is_read, why in found:
        if is_read:
            return
        count, problem = count + each, why
    if count:
        where = f"; the replies are in {kept}" if kept else ""
        problem = f"none of {count} {what} could be read; last problem: {problem}{where}"
        raise ReplyError(f"judge: {problem}; fix: set models.judge to a model that {able}")
