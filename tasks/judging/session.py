"""Runs the judges on a set of answers: verdicts with repeats, pairwise comparisons, and the second judge's verdicts."""

from collections.abc import Sequence
from typing import NamedTuple

from tasks.endpoints.roles import open_role
from tasks.judging.duels import duel_all, pairs
from tasks.judging.templates import Template
from tasks.judging.verdicts import judge_all
from tasks.schema.params import Judge, Model
from tasks.schema.records import Duel, Prediction, Verdict


class Judgement(NamedTuple):
    """All replies of the judges on a set of answers, as records."""

    verdicts: list[Verdict]  # the first judge's, with repeats of an answer together, then the second judge's
    duels: list[Duel]


async def judge_answers(
    answers: Sequence[Prediction], template: Template, *, judge: Judge, first: Model | None, second: Model | None
) -> Judgement:
    """Returns the first judge's verdicts, its comparisons if params require them, and the second judge's verdicts, one per answer.

    Without a judge there is nothing.
    """
    if first is None:
        return Judgement([], [])
    async with open_role("judge", first) as chat:
        verdicts = await judge_all(
            chat,
            answers,
            template=template,
            repeats=judge.repeats,
            tries=judge.tries,
            judge=str(first),
            second=False,
            label="judge",
        )
        found = pairs(answers) if judge.pairwise else []
        duels = await duel_all(chat, found, tries=judge.tries, judge=str(first), label="judge, in pairs") if found else []
    if second:
        async with open_role("second_judge", second) as chat:
            verdicts += await judge_all(
                chat, answers, template=template, repeats=1, tries=judge.tries, judge=str(second), second=True, label="second judge"
            )
    return Judgement(verdicts, duels)
