"""Scores predictions with their verdicts. The two are matched by prompt, model and sample, never by order."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from sys import intern
from typing import NamedTuple

from tasks import store
from tasks.cluster.parallel_map import parallel_map
from tasks.longbench.scorecard import JudgeExam, Scorecard, Scorecards
from tasks.longbench.summary import s_q, score_item, summarise
from tasks.schema.errors import BadInput
from tasks.schema.records import Prediction, ScoredItem, Verdict
from tasks.schema.settings import settings

Key = tuple[str, str, int]  # item id, model, sample
PART = 200  # answers per parallel work item


class Said(NamedTuple):
    """The scores of one verdict of the first judge, without its text."""

    repeat: int
    s_q: float | None  # None: unreadable verdict
    judge: str


Judged = Mapping[Key, Sequence[Said]]


class Files(NamedTuple):
    """The files of predictions and verdicts, for errors that name a line."""

    predictions: Path
    verdicts: Path


def score_all(answers: Iterable[Prediction], judged: Judged) -> list[ScoredItem]:
    """Returns every answer scored. S_q is the mean over the first judge's readable verdicts; None if there is none.

    Texts are streamed and not kept. More than `PART` answers are scored in several processes.
    """
    pieces = ([(answer, _s_q(judged[_key(answer)])) for answer in part] for part in store.batched(answers, PART))
    return [item for _, items in parallel_map(_score_part, pieces, None, processes=settings().sifters) for item in items]


def cards(items: Sequence[ScoredItem], judged: Judged, exams: Mapping[str, JudgeExam] | None = None) -> dict[str, Scorecard]:
    """A scorecard per model, in order of first occurrence. `exams` has the exams of judges, by the judge as verdicts name it."""
    found: dict[str, Scorecard] = {}
    judges: dict[str, set[str]] = defaultdict(set)
    for (_, model, _), verdicts in judged.items():
        judges[model].update(verdict.judge for verdict in verdicts)
    for model in dict.fromkeys(item.model for item in items):
        judge = "; ".join(sorted(judges[model])) or None
        card = summarise([item for item in items if item.model == model], judge=judge)
        found[model] = card.model_copy(update={"exam": exams.get(judge) if exams and judge else None})
    return found


def write_scores(out: Path, items: Sequence[ScoredItem], found: Mapping[str, Scorecard]) -> None:
    """Writes items.jsonl and scorecard.json, which compare and the gate read."""
    store.write(out / "items.jsonl", items)
    store.write_json(out / "scorecard.json", Scorecards(found))


def match(answers: Iterable[Prediction], verdicts: Iterable[Verdict] | None, files: Files) -> dict[Key, list[Said]]:
    """The first judge's verdicts on each answer; none where `verdicts` is None: nobody judged.

    Raises BadInput for a second answer or verdict under one name, and for one that lacks.
    """
    judged: dict[Key, list[Said]] = {}
    for place, answer in enumerate(answers):
        if (key := _key(answer)) in judged:
            problem = f"{_name(key)} is there twice, first in line {_line(files.predictions, list(judged).index(key))}"
            line = _line(files.predictions, place)
            raise BadInput(files.predictions, problem, line=line, field="item.id", fix="remove the line, or run the predict stage again")
        judged[key] = []
    if verdicts is None:
        return judged
    for place, verdict in enumerate(verdicts):
        key = (verdict.id, verdict.model, verdict.sample)
        known = judged.get(key)
        if known is None:
            problem = f"{_name(key)} has no prediction in {files.predictions}"
            raise BadInput(files.verdicts, problem, line=_line(files.verdicts, place), field="id", fix="run the judge stage again")
        if not verdict.second:
            if any(other.repeat == verdict.repeat for other in known):
                problem, line = f"{_name(key)} is there twice, with repeat {verdict.repeat}", _line(files.verdicts, place)
                raise BadInput(files.verdicts, problem, line=line, field="id", fix="remove the line, or run the judge stage again")
            known.append(Said(verdict.repeat, s_q(verdict.rubric) if verdict.rubric else None, intern(verdict.judge)))
    for key, known in judged.items():
        if not known:
            raise BadInput(files.verdicts, f"no verdict on {_name(key)}", field="id", fix="run the judge stage again")
    return judged


def _line(path: Path, place: int) -> int:
    """The line number of the record at index `place`. Blank lines count."""
    return next(islice(store.rows(path), place, None)).line


def _key(answer: Prediction) -> Key:
    return answer.item.id, answer.model, answer.sample


def _name(key: Key) -> str:
    identity, model, sample = key
    return f"{identity} by {model}" + (f", sample {sample}" if sample else "")


class _Quality(NamedTuple):
    """S_q of an answer: the mean over the readable verdicts, their number, and its standard error between them."""

    s_q: float | None = None
    verdicts: int | None = None
    error: float | None = None


def _s_q(verdicts: Sequence[Said]) -> _Quality:
    scores = [verdict.s_q for verdict in verdicts if verdict.s_q is not None]
    if not scores:
        return _Quality()
    return _Quality(fmean(scores), len(scores), stdev(scores) / sqrt(len(scores)) if len(scores) > 1 else None)


def _score_part(part: Sequence[tuple[Prediction, _Quality]], _: None) -> list[ScoredItem]:
    return [_scored(answer, quality) for answer, quality in part]


def _scored(answer: Prediction, quality: _Quality) -> ScoredItem:
    return score_item(
        answer.item,
        answer.model,
        answer.response,
        quality.s_q,
        verdicts=quality.verdicts,
        quality_error=quality.error,
        finish_reason=answer.finish_reason,
        sample=answer.sample,
        plan=answer.plan,
        reasoning=answer.reasoning,
        inline=answer.inline,
    )
