"""Writes an evaluation as a log of inspect_ai, so that `inspect view` and inspect's Python interface open it.

The log is written here and not by inspect_ai, which is 82 packages; a test reads it with inspect_ai 0.3.285. `.eval` is an archive with
one file for each answer, written one at a time; `.json` is one document. An answer without a score has inspect's value for it, NaN.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from tasks import store
from tasks.benchmarks.grading import Grade
from tasks.benchmarks.interface import GivenAnswer
from tasks.benchmarks.results import ScoredAnswer
from tasks.schema.errors import BadInput
from tasks.schema.finish import Finish, finish_of
from tasks.schema.records import Evaluation, Prediction, ScoredItem, Verdict

Json = dict[str, object]
Key = tuple[str, str, int]  # item, model, sample
VERSION = 2  # of inspect_ai's log format
STOPS = {
    Finish.ENDED: "stop",
    Finish.CUT: "max_tokens",
    Finish.FILTERED: "content_filter",
    Finish.TOOLS: "tool_calls",
    Finish.UNKNOWN: "unknown",
}
_FIX = "give a folder that `longwriter eval run` wrote, or `longwriter eval score --benchmark NAME --out FOLDER`"


class Exported(NamedTuple):
    """What was written."""

    samples: int
    scores: Mapping[str, float | None]  # the means, by name; None: every answer is unscored


class _Answer(NamedTuple):
    """One answer, of either kind of evaluation."""

    id: str
    prompt: str
    model: str
    sample: int
    response: str
    reasoning: str
    finish_reason: str
    tokens: int | None
    seconds: float | None
    metadata: Json


class _Score(NamedTuple):
    values: dict[str, float | None]
    explanation: str  # what the judge said


def export_inspect(folder: Path, file: Path, *, model: str | None = None) -> Exported:
    """Writes the evaluation in `folder` to `file`, .eval or .json.

    Raises BadInput if the folder has no answers or no scores, if it has several models and `model` names none, or for another suffix.
    """
    if file.suffix not in (".eval", ".json"):
        raise BadInput(file, "not a log's name", fix="end it in .eval or .json")
    for name in ("predictions.jsonl", "items.jsonl"):
        if not (folder / name).is_file():
            raise BadInput(folder / name, "no such file", fix=_FIX)
    models = list(dict.fromkeys(answer.model for answer in _answers(folder)))
    if model is None and len(models) > 1:
        raise BadInput(folder, f"answers of {len(models)} models, and a log has one", fix=f"add --model with one of {', '.join(models)}")
    if not models or (model is not None and model not in models):
        raise BadInput(folder, f"no answers of {model or 'any model'}", fix=f"use one of {', '.join(models)}" if models else _FIX)
    chosen = model or models[0]
    scores = _scores(folder)
    header, exported = _header(folder, chosen, scores)
    samples = (
        _sample(answer, scores.get((answer.id, answer.model, answer.sample))) for answer in _answers(folder) if answer.model == chosen
    )
    with store.replacing(file) as scratch:
        (_write_archive if file.suffix == ".eval" else _write_document)(scratch, header, samples)
    return exported


def _write_archive(path: Path, header: Json, samples: Iterable[Json]) -> None:
    summaries = list[Json]()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_journal/start.json", _dumped({"version": VERSION, "eval": header["eval"], "plan": header["plan"]}))
        for sample in samples:
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", _dumped(sample))
            summaries.append(_summary(sample))
        archive.writestr("_journal/summaries/1.json", _dumped(summaries))
        archive.writestr("summaries.json", _dumped(summaries))
        archive.writestr("header.json", _dumped(header))


def _write_document(path: Path, header: Json, samples: Iterable[Json]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(_dumped(header)[:-1] + ',"samples":[')
        for place, sample in enumerate(samples):
            file.write(("," if place else "") + _dumped(sample))
        file.write("]}")


def _dumped(value: object) -> str:
    """JSON with NaN as a constant, as inspect_ai writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _summary(sample: Json) -> Json:
    kept = ("id", "epoch", "input", "target", "metadata", "scores", "model_usage", "uuid")
    return {**{name: sample[name] for name in kept}, "role_usage": {}, "completed": True, "retries": 0, "message_count": 2}


def _answers(folder: Path) -> Iterator[_Answer]:
    path = folder / "predictions.jsonl"
    first = next(store.rows(path), None)
    if first is not None and first.data is not None and "item" in first.data:
        for answer in store.read(path, Prediction):
            item = answer.item
            metadata: Json = {"length": item.length, "type": item.type, "language": item.language}
            yield _answer(answer, item.id, item.prompt, metadata)
    else:
        for given in store.read(path, GivenAnswer):
            yield _answer(given, given.id, given.prompt, {})


def _answer(answer: Prediction | GivenAnswer, id: str, prompt: str, metadata: Json) -> _Answer:
    told = (answer.response, answer.reasoning, answer.finish_reason, answer.tokens, answer.seconds)
    return _Answer(id, prompt, answer.model, answer.sample, *told, metadata)


def _scores(folder: Path) -> dict[Key, _Score]:
    """The scores of each answer, with what the judge said of it."""
    said: dict[Key, list[str]] = {}
    if (folder / "verdicts.jsonl").is_file() and (folder / "verdicts.jsonl").stat().st_size:
        for verdict in store.read(folder / "verdicts.jsonl", Verdict):
            if not verdict.second:
                said.setdefault((verdict.id, verdict.model, verdict.sample), []).append(_said(verdict.replies, verdict.problem))
    if (folder / "grades.jsonl").is_file() and (folder / "grades.jsonl").stat().st_size:
        for grade in store.read(folder / "grades.jsonl", Grade):
            said.setdefault((grade.id, grade.model, grade.sample), []).append(_said(grade.replies, grade.problem, name=grade.question))
    path, found = folder / "items.jsonl", dict[Key, _Score]()
    first = next(store.rows(path), None)
    if first is not None and first.data is not None and "values" in first.data:
        for scored in store.read(path, ScoredAnswer):
            key = (scored.id, scored.model, scored.sample)
            found[key] = _Score(scored.values, "\n\n".join(said.get(key, ())))
        return found
    for item in store.read(path, ScoredItem):
        key = (item.id, item.model, item.sample)
        values = {"s_l": item.s_l, **({"s_l_fixed": item.fixed.s_l} if item.fixed else {}), **({"s_q": item.s_q} if key in said else {})}
        found[key] = _Score(values, "\n\n".join(said.get(key, ())))
    return found


def _said(replies: Iterable[str], problem: str | None, *, name: str = "") -> str:
    reply = next(reversed(tuple(replies)), "")
    told = f"{reply}\n(unscored: {problem})" if problem else reply
    return f"{name}: {told}" if name else told


def _header(folder: Path, model: str, scores: Mapping[Key, _Score]) -> tuple[Json, Exported]:
    evaluation = folder / "evaluation.json"
    known = store.read_document(evaluation, Evaluation) if evaluation.is_file() else None
    own = {key: score for key, score in scores.items() if key[1] == model}
    names = list(dict.fromkeys(name for score in own.values() for name in score.values))
    ids = list(dict.fromkeys(key[0] for key in own))
    digest = hashlib.sha256(f"{folder.resolve()}\0{model}".encode()).hexdigest()[:22]
    created = datetime.fromtimestamp((folder / "items.jsonl").stat().st_mtime, UTC).isoformat(timespec="seconds")
    task = Path(known.benchmark).stem if known else folder.name
    drawn = known.decoding if known else None
    spec: Json = {
        "eval_id": digest,
        "run_id": digest,
        "task_id": digest,
        "created": created,
        "task": task,
        "task_version": 0,
        "dataset": {"name": task, "samples": len(ids), "sample_ids": ids, "shuffled": False},
        "model": model if "/" in model else f"longwriter/{model}",
        "model_generate_config": {"temperature": drawn.temperature, "max_tokens": drawn.max_tokens} if drawn else {},
        "model_args": {},
        "config": {"epochs": max((key[2] for key in own), default=0) + 1},
        "packages": {},
        "metadata": {"judge": known.judge, "candidate": known.candidate} if known else {},
    }
    shown = {name: [value for score in own.values() if (value := score.values.get(name)) is not None] for name in names}
    results = [
        _result(name, values, missing=sum(name in score.values for score in own.values()) - len(values)) for name, values in shown.items()
    ]
    header: Json = {
        "version": VERSION,
        "status": "success",
        "eval": spec,
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {"total_samples": len(own), "completed_samples": len(own), "scores": results},
        "stats": {"started_at": created, "completed_at": created, "model_usage": {}, "role_usage": {}},
    }
    return header, Exported(len(own), {name: fmean(values) if values else None for name, values in shown.items()})


def _result(name: str, values: list[float], *, missing: int) -> Json:
    metrics: dict[str, float] = {"mean": fmean(values) if values else float("nan")}
    if len(values) > 1:
        metrics["stderr"] = stdev(values) / len(values) ** 0.5
    return {
        "name": name,
        "scorer": name,
        "scored_samples": len(values),
        "unscored_samples": missing,
        "params": {},
        "metrics": {key: {"name": key, "value": value, "params": {}} for key, value in metrics.items()},
    }


def _sample(answer: _Answer, score: _Score | None) -> Json:
    uuid = hashlib.sha256(f"{answer.id}\0{answer.model}\0{answer.sample}".encode()).hexdigest()[:22]
    content: object = answer.response
    if answer.reasoning:
        content = [{"type": "reasoning", "reasoning": answer.reasoning, "redacted": False}, {"type": "text", "text": answer.response}]
    said: Json = {"id": f"{uuid[:20]}-a", "content": content, "source": "generate", "role": "assistant", "model": answer.model}
    usage = {"input_tokens": 0, "output_tokens": answer.tokens, "total_tokens": answer.tokens} if answer.tokens is not None else None
    output: Json = {
        "model": answer.model,
        "choices": [{"message": said, "stop_reason": STOPS[finish_of(answer.finish_reason)]}],
        "completion": answer.response,
        **({"usage": usage} if usage else {}),
        **({"time": answer.seconds} if answer.seconds is not None else {}),
    }
    values = score.values if score else {}
    return {
        "id": answer.id,
        "epoch": answer.sample + 1,
        "input": answer.prompt,
        "target": str(answer.metadata.get("length", "")),
        "messages": [{"id": f"{uuid[:20]}-u", "content": answer.prompt, "source": "input", "role": "user"}, said],
        "output": output,
        "scores": {name: _value(value, score.explanation if score else "") for name, value in values.items()},
        "metadata": answer.metadata,
        "store": {},
        "events": [],
        "model_usage": {answer.model: usage} if usage else {},
        "uuid": uuid,
        "error_retries": [],
        "attachments": {},
    }


def _value(value: float | None, explanation: str) -> Json:
    return {"value": float("nan") if value is None else value, **({"explanation": explanation} if explanation else {}), "history": []}
