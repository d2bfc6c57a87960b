"""Reads the outputs of the stages as the records that the page shows. No formatting, no plots."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.corpus.dataset import FILE, read_dataset
from tasks.history import HistoryEntry, read_history
from tasks.judging.judged import Judged
from tasks.longbench.scorecard import Scorecard, read_scorecards
from tasks.schema.contract_results import ContractVerdict
from tasks.schema.params import Params, load
from tasks.schema.records import Abilities, Metrics, Prediction, Reject, ScoredItem, Served
from tasks.text.counts import count_words
from tasks.tracking.commit import Commit, commit
from tasks.tracking.gate import Decision
from tasks.training.pair_bias import LengthBias

PARAMS = Path("params.yaml")
GRAPH = Path("dvc.yaml")
CONTRACTS = "validate_instructions", "validate_drafts", "validate_dataset"  # the stages with a data contract
LIBRARIES = ("torch", "transformers", "trl", "accelerate", "datasets", "mlflow", "dvc", "prefect", "great-expectations", "openai")
THOUGHTS = 4_000  # characters shown of a model's thoughts
SHOWN = 420  # characters shown of an answer's start, and of its end


class Lengths(NamedTuple):
    """Lengths in the dataset, in words (English) or characters (Chinese)."""

    asked: list[int]
    written: list[int]
    languages: Mapping[str, int]


class Excerpt(NamedTuple):
    """One benchmark prompt with the start and end of the student's answer, and the lengths of all models' answers."""

    prompt: str
    language: str
    asked: int
    written: Mapping[str, int]  # by model
    head: str
    tail: str  # empty if `head` has the whole answer
    reasoning: str = ""  # the model's thoughts


class RunOrigin(NamedTuple):
    """Params, data, code and libraries of the run."""

    params: Params
    params_text: str
    data_sha256: str
    commit: Commit | None
    libraries: Mapping[str, str]


class Run(NamedTuple):
    """All data on the page."""

    cards: Mapping[str, Scorecard]
    items: list[ScoredItem]
    lengths: Lengths
    history: list[HistoryEntry]
    rejects: Mapping[str, Mapping[str, int]]  # stage, reason
    contracts: list[ContractVerdict]  # of the instructions, the drafts and the training set
    judged: Judged
    general: Mapping[str, Mapping[str, float | None]]  # scores 0 to 1, by candidate model and task of lm-evaluation-harness
    bias: LengthBias
    alignment: list[HistoryEntry]
    decision: Decision
    served: Served
    excerpts: list[Excerpt]
    metrics: Mapping[str, Mapping[str, float]]  # stage, name
    origin: RunOrigin


def gather(data: Path) -> Run:
    """Reads a run from its data folder. Raises BadInput with the file that is missing or not valid."""
    dataset = data / "assemble" / "dataset"
    return Run(
        cards=_in_order(read_scorecards(data / "score" / "scorecard.json")),
        items=store.read_list(data / "score" / "items.jsonl", ScoredItem),
        lengths=_lengths(dataset),
        history=read_history(data / "train" / "history.jsonl"),
        rejects={folder.name: _reasons(folder / "rejects.jsonl") for folder in _stages(data, "rejects.jsonl")},
        contracts=[store.read_document(data / stage / "verdict.json", ContractVerdict) for stage in CONTRACTS],
        judged=store.read_document(data / "score" / "reliability.json", Judged),
        general=store.read_document(data / "evaluate_general" / "general.json", Abilities).root,
        bias=store.read_document(data / "build_pairs" / "bias.json", LengthBias),
        alignment=read_history(data / "align" / "history.jsonl") if (data / "align" / "history.jsonl").stat().st_size else [],
        decision=store.read_document(data / "promote" / "decision.json", Decision),
        served=store.read_document(data / "serve" / "served.json", Served),
        excerpts=list(_excerpts(data / "predict" / "predictions.jsonl")),
        metrics={folder.name: _numbers(folder / "metrics.json") for folder in _stages(data, "metrics.json")},
        origin=_origin(dataset / FILE),
    )


def _in_order(cards: Mapping[str, Scorecard]) -> dict[str, Scorecard]:
    """Orders the models: the student, the aligned student, then all others by name."""
    return {model: cards[model] for model in sorted(cards, key=lambda model: (model != "student", model != "aligned", model))}


def _lengths(dataset: Path) -> Lengths:
    asked, written, languages = list[int](), list[int](), Counter[str]()
    for sample in read_dataset(dataset):
        asked += [sample.asked_words] if sample.asked_words else []
        written.append(sample.written_words)
        languages[sample.language] += 1
    return Lengths(asked, written, dict(sorted(languages.items())))


def _stages(data: Path, file: str) -> list[Path]:
    """The stages' folders that have `file`, in the order of the graph, without the report's."""
    order = _graph_order()
    found = [path.parent for path in data.glob(f"*/{file}") if not path.parent.name.startswith(".") and path.parent.name != "report"]
    return sorted(found, key=lambda folder: (order.index(folder.name) if folder.name in order else len(order), folder.name))


def _graph_order() -> list[str]:
    from ruamel.yaml import YAML

    return list(YAML(typ="safe").load(GRAPH.read_text(encoding="utf-8"))["stages"]) if GRAPH.is_file() else []


def _reasons(path: Path) -> dict[str, int]:
    """Number of rejects by reason, most frequent first. A stage without rejects has an empty file."""
    if not path.stat().st_size:
        return {}
    return dict(Counter(str(reject.reason) for reject in store.read(path, Reject)).most_common())


def _numbers(path: Path) -> dict[str, float]:
    return {name: value for name, value in store.read_document(path, Metrics).root.items() if value is not None}


def _excerpts(path: Path) -> Iterator[Excerpt]:
    """Per language, the student's answer to the prompt with the largest requested length."""
    predictions = store.read_list(path, Prediction)
    for language in sorted({prediction.item.language for prediction in predictions}):
        mine = [p for p in predictions if p.item.language == language and p.model == "student"]
        if mine:
            longest = max(mine, key=lambda prediction: prediction.item.length)
            yield _excerpt(longest, {p.model: count_words(p.response) for p in predictions if p.item.id == longest.item.id})


def _excerpt(prediction: Prediction, written: Mapping[str, int]) -> Excerpt:
    text = prediction.response.strip()
    whole = len(text) <= 2 * SHOWN
    head, tail = (text, "") if whole else (text[:SHOWN], text[-SHOWN:])
    item, thoughts = prediction.item, prediction.reasoning[:THOUGHTS]
    return Excerpt(item.prompt, item.language, item.length, written, head, tail, thoughts)


def _origin(dataset: Path) -> RunOrigin:
    with dataset.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return RunOrigin(
        load(PARAMS), PARAMS.read_text(encoding="utf-8"), digest, commit(), {name: metadata.version(name) for name in LIBRARIES}
    )
