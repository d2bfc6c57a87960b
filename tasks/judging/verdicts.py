"""A judge on many answers: each as often as is asked for, each reply read strictly, what stays unreadable left unscored."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.endpoints.chat import Chat, Reply, map_async, user, why_empty
from tasks.judging.rubric import parse_rubric
from tasks.judging.templates import Template
from tasks.schema.errors import ReplyError, Unanswered
from tasks.schema.finish import Finish
from tasks.schema.records import Prediction, Rubric, Verdict

UNFINISHED = {
    Finish.CUT: "cut off at the judge's max_tokens",
    Finish.FILTERED: "stopped by the endpoint's content filter",
    Finish.TOOLS: "the judge called a tool",
}


async def judge_all(
    chat: Chat,
    predictions: Sequence[Prediction],
    *,
    template: Template,
    repeats: int,
    tries: int,
    judge: str,
    second: bool,
    label: str | None,
) -> list[Verdict]:
    """`repeats` verdicts on every answer, in the order of the answers, whatever ended first.

    `judge` names who says it, and is kept with the prompt's digest: with another prompt it is another judge. `second`: as the second
    judge. A verdict that nobody could read in `tries` replies, or that the endpoint does not answer, is unscored and says why; all
    replies are kept. Raises EndpointError when nobody is answered.
    """
    name = f"{judge}, prompt {template.digest[:8]}"

    async def verdict(question: tuple[Prediction, int]) -> Verdict:
        answer, repeat = question
        found = await _ask(chat, template, answer, repeat=repeat, tries=tries)
        return Verdict(
            id=answer.item.id, model=answer.model, sample=answer.sample, repeat=repeat, second=second, judge=name, **found._asdict()
        )

    asked = [(prediction, repeat) for prediction in predictions for repeat in range(repeats)]
    return await map_async(asked, verdict, unit="verdict", label=label)


def draw(repeat: int, attempt: int) -> int:
    """The sample index of a verdict's try: Cantor's pairing, 0 for the very first.

    It depends on nothing else, and no two pairs share one: with more repeats, or more tries, all earlier replies come from the journal.
    """
    return (repeat + attempt) * (repeat + attempt + 1) // 2 + attempt


def check_finished(reply: Reply) -> None:
    """Raises ReplyError for a reply that was broken off: what stands in it may be half of what was to be said."""
    if reply.reasoning and not reply.text.strip():
        raise ReplyError(why_empty(reply))
    if reply.finish in UNFINISHED:
        raise ReplyError(UNFINISHED[reply.finish])


def thoughts_of(replies: Sequence[Reply]) -> tuple[str, ...]:
    """The judge's thoughts before each reply; empty where there were none before any."""
    return tuple(reply.reasoning for reply in replies) if any(reply.reasoning for reply in replies) else ()


def check_scored(verdicts: Sequence[Verdict], *, kept: Path) -> None:
    """Raises ReplyError where not one verdict of the first judge could be read: then it is the judge, not its replies."""
    first = [verdict for verdict in verdicts if not verdict.second]
    if first and not any(verdict.rubric for verdict in first):
        problem = f"not one of {len(first)} verdicts could be read, the last one: {first[-1].problem}; the replies are in {kept}"
        raise ReplyError(f"judge: {problem}; fix: name a judge in models.judge that answers in the form of its prompt")


class _Found(NamedTuple):
    """The fields of a Verdict that the judge decides."""

    rubric: Rubric | None
    replies: tuple[str, ...]
    problem: str | None
    reasoning: tuple[str, ...]


async def _ask(chat: Chat, template: Template, prediction: Prediction, *, repeat: int, tries: int) -> _Found:
    """The first readable reply; after `tries` unreadable ones what was wrong with the last."""
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
