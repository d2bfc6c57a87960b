"""The ranking of a group by a judge: pairwise comparisons, each in both orders, through the journal of paid replies.

Each answer is compared with its next `opponents` answers in a ring, so every answer has as many comparisons. With at least
(group - 1) / 2 opponents all pairs are compared. An answer's score is the mean over its readable comparisons: 1 won, 0.5 a tie, 0 lost.
So a judge that always prefers the first text gives 0.5 to everybody, and moves nothing.
"""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from tasks.endpoints.chat import Chat
from tasks.endpoints.roles import open_role
from tasks.judging.duels import DuelPair, duel_all
from tasks.rewards.interface import AnswerGroup, Comparing, Reward, Scores
from tasks.schema.params import Model
from tasks.schema.records import Duel, Prediction
from tasks.store import Spool

POINTS = {"a": (1.0, 0.0), "b": (0.0, 1.0), "tie": (0.5, 0.5)}  # of A and of B


async def _ranked(group: AnswerGroup, judge: Comparing) -> Scores:
    return await judge.compare(group)


RANKING = Reward("ranking", "preferred by models.reward_judge over other answers of the group", judged=_ranked)


def pairs_of(answers: int, opponents: int) -> list[tuple[int, int]]:
    """The pairs of a ring in which each answer meets its next `opponents` ones; no pair twice. Indices from 0."""
    ring = {tuple(sorted((one, (one + step) % answers))) for step in range(1, opponents + 1) for one in range(answers)}
    return sorted((low, high) for low, high in ring if low != high)


def scores_of(duels: Sequence[Duel], pairs: Sequence[tuple[int, int]], answers: int) -> list[float | None]:
    """The mean points of each answer over its readable comparisons, two per duel; None without any. `duels` are in the order of `pairs`."""
    won: list[list[float]] = [[] for _ in range(answers)]
    for duel, (a, b) in zip(duels, pairs, strict=True):
        for winner in (duel.a_first, duel.b_first):
            if winner is not None:
                for place, points in zip((a, b), POINTS[winner], strict=True):
                    won[place].append(points)
    return [sum(points) / len(points) if points else None for points in won]


class RewardJudge:
    """The judge that trains. Several groups may be compared at once."""

    def __init__(self, chat: Chat, *, name: str, opponents: int, tries: int) -> None:
        self._chat, self._name, self._opponents, self._tries = chat, name, opponents, tries
        self.problem = ""  # of the newest comparison that could not be read

    async def compare(self, group: AnswerGroup) -> Scores:
        pairs = pairs_of(len(group.answers), self._opponents)
        given = [_prediction(group, number) for number in range(len(group.answers))]
        with tempfile.TemporaryDirectory() as folder:
            spool = Spool(Path(folder))
            met = (DuelPair(given[a], given[b]) for a, b in pairs)
            await duel_all(self._chat, met, spool, count=len(pairs), tries=self._tries, judge=self._name, label=None)
            duels = list(spool.records(Duel))
        self.problem = next((duel.problem for duel in reversed(duels) if duel.problem), self.problem)
        return scores_of(duels, pairs, len(given))


class Jury:
    """Runs requests to the judge from synchronous code, on an event loop of its own that stays open between the steps."""

    def __init__(self, runner: asyncio.Runner, judge: RewardJudge | None) -> None:
        self._runner, self.judge = runner, judge

    def score(self, reward: Reward, groups: Sequence[AnswerGroup]) -> list[Scores]:
        """The scores of each group; all groups are asked about at once."""
        assert reward.judged
        assert self.judge

        async def all_groups() -> list[Scores]:
            assert reward.judged
            assert self.judge
            return list(await asyncio.gather(*(reward.judged(group, self.judge) for group in groups)))

        return self._runner.run(all_groups())


@contextmanager
def open_jury(model: Model | None, *, opponents: int, tries: int) -> Iterator[Jury]:
    """Yields the jury for the block; without a model it has no judge. Raises BadSettings if the role has no endpoint."""
    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        if model is None:
            yield Jury(runner, None)
            return
        chat = runner.run(stack.enter_async_context(open_role("reward_judge", model)))
        try:
            yield Jury(runner, RewardJudge(chat, name=str(model), opponents=opponents, tries=tries))
        finally:
            runner.run(stack.aclose())


def _prediction(group: AnswerGroup, number: int) -> Prediction:
    """An answer as the records of duels have it. Only its text and prompt reach the judge."""
    answer = group.answers[number]
    name = f"answer {number + 1}"
    return Prediction(
        item=group.prompt,
        model=name,
        response=answer.text,
        finish_reason="stop" if answer.ended else "length",
        tokens=answer.tokens,
        seconds=0,
    )
