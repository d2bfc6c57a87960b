"""Reads the outputs of the stages as the records that the page shows. No formatting, no plots.

A run may be incomplete: what a stage has not written is None, and its path is in `Run.missing`. A damaged file is an error.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, TypeVar

from tasks import stage_times, store
from tasks.corpus.dataset import FILE, read_dataset
from tasks.endpoints.ledger import totals
from tasks.endpoints.replay import JOURNAL, read_journal
from tasks.history import HistoryEntry, read_history
from tasks.judging.judged import Judged
from tasks.longbench.scorecard import Scorecard, read_scorecards
from tasks.reporting.answers import RejectExamples, ShownAnswer, reject_examples, shown_answers
from tasks.schema.contract_results import ContractVerdict
from tasks.schema.params import Params, load
from tasks.schema.records import Abilities, Metrics, Prediction, ScoredItem, Served
from tasks.schema.settings import settings
from tasks.schema.study_results import Limit
from tasks.text.counts import count_words
from tasks.tracking.commit import Commit, commit
from tasks.tracking.gate import Decision
from tasks.training.pair_bias import LengthBias

PARAMS = Path("params.yaml")
GRAPH = Path("dvc.yaml")
CONTRACTS = "validate_instructions", "validate_drafts", "validate_dataset"  # the stages with a data contract
STUDY = "study.json"  # the last length-limit study of this checkout, beside the report's plots; the graph does not run it for a report
T = TypeVar("T")
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
    data_sha256: str | None  # None: there is no dataset
    commit: Commit | None
    libraries: Mapping[str, str]


class RoleCost(NamedTuple):
    """What one role of models was paid, by the journal of this machine."""

    role: str
    model: str
    calls: int
    prompt: int  # tokens
    completion: int
    dollars: float | None  # None: settings have no price for the model


class Run(NamedTuple):
    """All data on the page. None, or empty: the stage has not written it."""

    cards: Mapping[str, Scorecard]
    items: list[ScoredItem]
    answers: list[ShownAnswer]
    lengths: Lengths | None
    history: list[HistoryEntry]
    rejects: Mapping[str, Sequence[RejectExamples]]  # by stage
    contracts: list[ContractVerdict]  # of the instructions, the drafts and the training set
    judged: Judged | None
    general: Mapping[str, Mapping[str, float | None]] | None  # scores 0 to 1, by candidate model and task of lm-evaluation-harness
    bias: LengthBias | None
    alignment: list[HistoryEntry]
    reinforcement: list[HistoryEntry]
    decision: Decision | None
    served: Served | None
    excerpts: list[Excerpt]
    metrics: Mapping[str, Mapping[str, float]]  # stage, name
    seconds: Mapping[str, float]  # stage, wall time of its last run on this machine
    costs: Sequence[RoleCost]
    study: Limit | None
    origin: RunOrigin
    missing: Sequence[Path]  # files that no stage has written yet


class _Reader:
    """Reads files that may be missing, and remembers which are."""

    def __init__(self) -> None:
        self.missing: list[Path] = []

    def __call__(self, path: Path, read: Callable[[Path], T]) -> T | None:
        if path.exists():
            return read(path)
        self.missing.append(path)
        return None


def gather(data: Path, plots: Path = Path("plots")) -> Run:
    """Reads a run from its data folder; `plots` is the folder of the study's figures. Raises BadInput with the file that is not valid."""
    dataset, predictions = data / "assemble" / "dataset", data / "predict" / "predictions.jsonl"
    found, metrics = _Reader(), {folder.name: _numbers(folder / "metrics.json") for folder in _stages(data, "metrics.json")}
    items = found(data / "score" / "items.jsonl", lambda path: store.read_list(path, ScoredItem)) or []
    contracts = [found(data / name / "verdict.json", lambda path: store.read_document(path, ContractVerdict)) for name in CONTRACTS]
    general = found(data / "evaluate_general" / "general.json", lambda path: store.read_document(path, Abilities))
    excerpts = found(predictions, lambda path: list(_excerpts(path)))
    return Run(
        cards=_in_order(found(data / "score" / "scorecard.json", read_scorecards) or {}),
        items=items,
        answers=shown_answers(items, predictions if predictions.exists() else None),
        lengths=found(dataset / FILE, lambda path: _lengths(path.parent)),
        history=found(data / "train" / "history.jsonl", read_history) or [],
        rejects={folder.name: reject_examples(folder / "rejects.jsonl", folder.name) for folder in _stages(data, "rejects.jsonl")},
        contracts=[verdict for verdict in contracts if verdict],
        judged=found(data / "score" / "reliability.json", lambda path: store.read_document(path, Judged)),
        general=None if general is None else general.root,
        bias=found(data / "build_pairs" / "bias.json", lambda path: store.read_document(path, LengthBias)),
        alignment=found(data / "align" / "history.jsonl", _optional_history) or [],
        reinforcement=found(data / "reinforce" / "history.jsonl", _optional_history) or [],
        decision=found(data / "promote" / "decision.json", lambda path: store.read_document(path, Decision)),
        served=found(data / "serve" / "served.json", lambda path: store.read_document(path, Served)),
        excerpts=excerpts or [],
        metrics=metrics,
        seconds=stage_times.of(data),
        costs=_costs(),
        study=store.read_document(plots / STUDY, Limit) if (plots / STUDY).is_file() else None,
        origin=_origin(dataset / FILE),
        missing=found.missing,
    )


def _optional_history(path: Path) -> list[HistoryEntry]:
    """The history of a training that may be off; its file is empty then."""
    return read_history(path) if path.stat().st_size else []


def _costs() -> list[RoleCost]:
    """What was paid so far, by role and model, from this machine's journal. Prices are the settings'."""
    own = settings()
    accounts = totals(read_journal(own.home / JOURNAL), own.prices)
    return [
        RoleCost(role, model, found.calls, found.prompt, found.completion, found.dollars if model in own.prices else None)
        for (role, model), found in sorted(accounts.items())
    ]


def _in_order(cards: Mapping[str, Scorecard]) -> dict[str, Scorecard]:
    """Orders the models: the student, the aligned and the reinforced student, then all others by name."""
    first = ("student", "aligned", "reinforced")
    return {model: cards[model] for model in sorted(cards, key=lambda model: (first.index(model) if model in first else len(first), model))}


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
    libraries = {name: metadata.version(name) for name in LIBRARIES}
    digest = store.digest(dataset) if dataset.is_file() else None
    return RunOrigin(load(PARAMS), PARAMS.read_text(encoding="utf-8"), digest, commit(), libraries)
