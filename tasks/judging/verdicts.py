"""Collects a judge's verdicts on many answers, with repeats. Replies are read strictly; an unreadable verdict stays unscored."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.endpoints.chat import Chat, Reply, spool_async, user, why_empty
from tasks.judging.rubric import parse_rubric
from tasks.judging.templates import Template
from tasks.schema.errors import ReplyError, Unanswered
from tasks.schema.finish import Finish
from tasks.schema.records import Prediction, Rubric, Verdict
from tasks.store import Spool

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
    verdicts. A verdict that is unreadable in `tries` replies, or not answered, is unscored and has a reason; all replies are kept. Raises
    EndpointError if no request is answered.
    """
    name = f"{judge}, prompt {template.digest[:8]}"

    async def verdict(question: tuple[Prediction, int]) -> Verdict:
        answer, repeat = question
        found = await _ask(chat, template, answer, repeat=repeat, tries=tries)
        return Verdict(
            id=answer.item.id, model=answer.model, sample=answer.sample, repeat=repeat, second=second, judge=name, **found._asdict()
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


def thoughts_of(replies: Sequence[Reply]) -> tuple[str, ...]:
    """The judge's thoughts before each reply; empty if no reply has thoughts."""
    return tuple(reply.reasoning for reply in replies) if any(reply.reasoning for reply in replies) else ()


def check_scored(verdicts: Iterable[Verdict], *, kept: Path) -> None:
    """Raises ReplyError if no verdict of the first judge could be read, because then the judge is unsuitable."""
    count, problem = 0, None
    for verdict in verdicts:
        if verdict.second:
            continue
        if verdict.rubric:
            return
        count, problem = count + 1, verdict.problem
    if count:
        problem = f"none of {count} verdicts could be read; last problem: {problem}; the replies are in {kept}"
        raise ReplyError(f"judge: {problem}; fix: set models.judge to a model that follows the output format of the prompt")


class _Found(NamedTuple):
    """The fields of a Verdict that come from the judge."""

    rubric: Rubric | None
    replies: tuple[str, ...]
    problem: str | None
    reasoning: tuple[str, ...]


async def _ask(chat: Chat, template: Template, prediction: Prediction, *, repeat: int, tries: int) -> _Found:
    """The first readable reply; after `tries` unreadable replies, the problem of the last one."""
    prompt, replies, problem = template.fill(prediction.item.prompt, prediction.response), list[Reply](), None
    for attempt in range(tries):
        try:
            replies.append(await chat(user(prompt, sample=draw(repeat, attempt), schema=template.schema)))
            return _found(_read(replies[-1], prediction.response), replies, None)
        except Unanswered as error:
            return _found(None, replies, str(error))
        except ReplyError as error:
            problem = str(error)
    return _found(None, replies, problem)


def _found(rubric: Rubric | None, replies: Sequence[Reply], problem: str | None) -> _Found:
    return _Found(rubric, tuple(reply.text for reply in replies), problem, thoughts_of(replies))


def _read(reply: Reply, answer: str) -> Rubric:
    check_finished(reply)
    return parse_rubric(reply.text, answer)
