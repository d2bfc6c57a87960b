"""Predictions and verdicts become scored items. They are matched by prompt, model and sample, never by their order."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from tasks import store
from tasks.longbench.scorecard import Scorecard, Scorecards
from tasks.longbench.summary import s_q, score_item, summarise
from tasks.schema.errors import BadInput
from tasks.schema.records import Prediction, ScoredItem, Verdict

Key = tuple[str, str, int]  # prompt, model, sample
Judged = Mapping[Key, Sequence[Verdict]]


class Files(NamedTuple):
    """Where predictions and verdicts were read, for errors that name the line."""

    predictions: Path
    verdicts: Path


def score_all(answers: Sequence[Prediction], judged: Judged) -> list[ScoredItem]:
    """Every answer, scored; S_q is the mean over the judge's readable verdicts on it, None where there is none."""
    return [_scored(answer, judged[_key(answer)]) for answer in answers]


def cards(items: Sequence[ScoredItem], judged: Judged) -> dict[str, Scorecard]:
    """A scorecard per model, in the order in which the models first occur."""
    found: dict[str, Scorecard] = {}
    for model in dict.fromkeys(item.model for item in items):
        judges = sorted({verdict.judge for (_, of, _), verdicts in judged.items() if of == model for verdict in verdicts})
        found[model] = summarise([item for item in items if item.model == model], judge="; ".join(judges) or None)
    return found


def write_scores(out: Path, items: Sequence[ScoredItem], found: Mapping[str, Scorecard]) -> None:
    """items.jsonl and scorecard.json: what compare and the gate read."""
    store.write(out / "items.jsonl", items)
    store.write_json(out / "scorecard.json", Scorecards(found))


def match(answers: Iterable[Prediction], verdicts: Iterable[Verdict], files: Files) -> dict[Key, list[Verdict]]:
    """The first judge's verdicts on each answer. Raises BadInput for a second answer or verdict under one name, and for one that lacks."""
    judged: dict[Key, list[Verdict]] = {}
    for line, answer in enumerate(answers, 1):
        if _key(answer) in judged:
            raise BadInput(files.predictions, f"{_name(_key(answer))} is there twice", line=line, field="item.id", mend="run predict again")
        judged[_key(answer)] = []
    for line, verdict in enumerate(verdicts, 1):
        key = (verdict.id, verdict.model, verdict.sample)
        known = judged.get(key)
        if known is None:
            problem = f"{_name(key)} has no prediction in {files.predictions}"
            raise BadInput(files.verdicts, problem, line=line, field="id", mend="run judge again")
        if not verdict.second:
            if any(other.repeat == verdict.repeat for other in known):
                raise BadInput(files.verdicts, f"{_name(key)} is there twice", line=line, field="id", mend="run judge again")
            known.append(verdict)
    for key, known in judged.items():
        if not known:
            raise BadInput(files.verdicts, f"no verdict on {_name(key)}", field="id", mend="run judge again")
    return judged


def _key(answer: Prediction) -> Key:
    return answer.item.id, answer.model, answer.sample


def _name(key: Key) -> str:
    identity, model, sample = key
    return f"{identity} by {model}" + (f", sample {sample}" if sample else "")


def _scored(answer: Prediction, verdicts: Sequence[Verdict]) -> ScoredItem:
    scores = [s_q(verdict.rubric) for verdict in verdicts if verdict.rubric]
    return score_item(
        answer.item,
        answer.model,
        answer.response,
        mean(scores) if scores else None,
        finish_reason=answer.finish_reason,
        sample=answer.sample,
        plan=answer.plan,
        reasoning=answer.reasoning,
        inline=answer.inline,
    )
