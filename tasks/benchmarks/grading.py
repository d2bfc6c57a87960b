"""Asks the judge a benchmark's questions about each answer. Replies are read strictly; what cannot be read stays unscored."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tasks.benchmarks.interface import GivenAnswer, Item, Question, Suite
from tasks.endpoints.chat import Chat, Request, spool_async
from tasks.judging.verdicts import check_any_read, draw, first_readable
from tasks.schema.records import Message, Record
from tasks.store import Spool


class Grade(Record):
    """The judge's reply to one question about one answer: grades.jsonl."""

    id: str
    model: str
    sample: int
    question: str
    repeat: int
    judge: str
    names: tuple[str, ...]  # the grades that were asked for
    grades: dict[str, float] | None  # None: unscored, `problem` says why
    replies: tuple[str, ...]
    problem: str | None


class _Ask(NamedTuple):
    answer: GivenAnswer
    question: Question
    repeat: int


def count_questions(suite: Suite, items: Mapping[str, Item], answers: Iterable[GivenAnswer], *, repeats: int) -> int:
    """The number of verdicts that grading these answers needs."""
    return repeats * sum(len(suite.questions(items[answer.id], answer)) for answer in answers)


async def grade_all(
    chat: Chat,
    suite: Suite,
    items: Mapping[str, Item],
    answers: Iterable[GivenAnswer],
    grades: Spool,
    *,
    total: int,
    repeats: int,
    tries: int,
    judge: str,
) -> None:
    """Adds `repeats` grades of every question about every answer, in the order of the answers, which are read as they are graded."""

    async def grade(ask: _Ask) -> Grade:
        found = await first_readable(chat, _requests(ask, tries), ask.question.read)
        return Grade(
            id=ask.answer.id,
            model=ask.answer.model,
            sample=ask.answer.sample,
            question=ask.question.name,
            repeat=ask.repeat,
            judge=judge,
            names=ask.question.grades,
            grades=None if found.value is None else dict(found.value),
            replies=found.texts,
            problem=found.problem,
        )

    await spool_async(_asks(suite, items, answers, repeats), grade, grades, total=total, unit="verdict", label="judge")


def _asks(suite: Suite, items: Mapping[str, Item], answers: Iterable[GivenAnswer], repeats: int) -> Iterator[_Ask]:
    for answer in answers:
        for question in suite.questions(items[answer.id], answer):
            for repeat in range(repeats):
                yield _Ask(answer, question, repeat)


def _requests(ask: _Ask, tries: int) -> Iterator[Request]:
    system = [Message(role="system", content=ask.question.system)] if ask.question.system else []
    messages = (*system, Message(role="user", content=ask.question.prompt))
    return (Request(messages, draw(ask.repeat, attempt), ask.question.schema) for attempt in range(tries))


def check_graded(grades: Iterable[Grade], *, kept: str) -> None:
    """Raises ReplyError if no reply of the judge could be read, because then the judge is unsuitable."""
    check_any_read(((grade.grades is not None, grade.problem) for grade in grades), "verdicts", kept=kept)
