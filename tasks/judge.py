"""judge: the judge model gives each answer six scores, or leaves it unscored (paper, section 4.1).

One call per answer and repeat, one more for the second judge, two for each compared pair of answers, and a few more for unreadable
replies. The answers' lengths and the judges' prices drive the cost. An answer without a readable verdict is unscored with a reason, and
never gets a default score. The journal stores every reply, so a second run, or one with more repeats, pays for no reply twice.
If models.judge is null, no call is made: both files are empty, and every answer is unscored.
"""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tasks import stage, store
from tasks.judging.duels import check_read
from tasks.judging.pairwise import contradicts
from tasks.judging.session import Judgement
from tasks.judging.templates import read_template
from tasks.judging.verdicts import check_scored
from tasks.schema.errors import BadInput
from tasks.schema.params import Judge, Model
from tasks.schema.records import Prediction, Verdict


def run(
    predictions: Path, prompt: Path, out: Path, *, judge: Judge, judge_model: Model | None, second_judge_model: Model | None
) -> stage.Metrics:
    answered, said = _answered(predictions), Judgement(out)
    stage.run_async(said.ask(predictions, read_template(prompt), judge=judge, first=judge_model, second=second_judge_model))
    said.write(out)
    check_read(said.duels())
    check_scored(said.verdicts(), kept=out / "verdicts.jsonl")
    unscored = answered if judge_model is None else Counter(one.model for one in _unscored(said.verdicts()))
    return {
        "verdicts": sum(1 for _ in said.verdicts()),
        "unscored": unscored.total(),
        "replies": sum(len(verdict.replies) for verdict in said.verdicts()) + sum(len(duel.replies) for duel in said.duels()),
        **{f"{model}_unscored": unscored[model] for model in sorted(answered)},
        "duels": sum(1 for _ in said.duels()),
        "contradictions": sum(map(contradicts, said.duels())),
    }


def _answered(path: Path) -> Counter[str]:
    """Answers by model. Raises BadInput with the line of the first duplicate (prompt, model, sample): its verdicts would be ambiguous."""
    seen = set[_Answer]()
    for place, answer in enumerate(store.read(path, Prediction)):
        key = _Answer(answer.item.id, answer.model, answer.sample)
        if key in seen:
            line = next(islice(store.rows(path), place, None)).line
            problem = f"{answer.item.id} by {answer.model}, sample {answer.sample}, is there twice"
            raise BadInput(path, problem, line=line, field="item.id", fix="run the predict stage again")
        seen.add(key)
    return Counter(one.model for one in seen)


class _Answer(NamedTuple):
    id: str
    model: str
    sample: int


def _unscored(verdicts: Iterable[Verdict]) -> list[_Answer]:
    """The answers (prompt, model, sample) without a readable verdict of the first judge."""
    read: dict[_Answer, bool] = {}
    for verdict in verdicts:
        if not verdict.second:
            key = _Answer(verdict.id, verdict.model, verdict.sample)
            read[key] = read.get(key, False) or verdict.rubric is not None
    return [key for key, found in read.items() if not found]


if __name__ == "__main__":
    stage.main(
        "PREDICTIONS PROMPT OUT",
        lambda params: partial(run, judge=params.judge, judge_model=params.models.judge, second_judge_model=params.models.second_judge),
    )
