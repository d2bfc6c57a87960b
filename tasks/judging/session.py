"""Runs the judges on a set of answers: verdicts with repeats, pairwise comparisons, and the second judge's verdicts."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tasks import store
from tasks.endpoints.roles import open_role
from tasks.judging.duels import DuelPair, duel_all, pairs
from tasks.judging.templates import Template
from tasks.judging.verdicts import judge_all
from tasks.schema.params import Judge, Model
from tasks.schema.records import Duel, Prediction, Verdict


class Judgement:
    """What the judges said, on disk; memory holds 24 bytes of each."""

    def __init__(self, folder: Path):
        self._verdicts, self._duels = store.Spool(folder), store.Spool(folder)

    def verdicts(self) -> Iterator[Verdict]:
        """The first judge's, repeats of an answer together, then the second's."""
        return self._verdicts.records(Verdict)

    def duels(self) -> Iterator[Duel]:
        return self._duels.records(Duel)

    def write(self, out: Path) -> None:
        """verdicts.jsonl and duels.jsonl, which is empty where models were not compared."""
        self.write_verdicts(out)
        self._duels.write(out / "duels.jsonl")

    def write_verdicts(self, out: Path) -> None:
        self._verdicts.write(out / "verdicts.jsonl")

    async def ask(self, answers: Path, template: Template, *, judge: Judge, first: Model | None, second: Model | None) -> None:
        """Collects the first judge's verdicts, its comparisons if params require them, and the second judge's verdicts, one per answer.

        `answers` is a file of predictions, which are read as they are judged. Without a judge there is nothing.
        """
        if first is None:
            return
        ask = partial(judge_all, count=store.count(answers), template=template, tries=judge.tries)
        async with open_role("judge", first) as chat:
            given = store.read(answers, Prediction)
            await ask(chat, given, self._verdicts, repeats=judge.repeats, judge=str(first), second=False, label="judge")
            if judge.pairwise:
                found = pairs((answer, start) for start, answer in store.placed(answers, Prediction))
                both = (DuelPair(*(store.read_at(answers, start, Prediction) for start in pair)) for pair in found)
                label = "judge, in pairs"
                await duel_all(chat, both, self._duels, count=len(found), tries=judge.tries, judge=str(first), label=label)
        if second:
            async with open_role("second_judge", second) as chat:
                given = store.read(answers, Prediction)
                await ask(chat, given, self._verdicts, repeats=1, judge=str(second), second=True, label="second judge")
