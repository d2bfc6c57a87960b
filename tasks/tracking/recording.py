"""Records trainings, alignments and evaluations: this project's params, metrics and tags on top of runs.py."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks import plots, store
from tasks.corpus.dataset import FILE
from tasks.history import read_history
from tasks.longbench.scorecard import Scorecard
from tasks.schema.params import Align, Base, Pack, Reinforce, Section, Train
from tasks.schema.records import ScoredItem
from tasks.tracking import checkpoint as checkpoints
from tasks.tracking import runs
from tasks.tracking.client import connect, experiment
from tasks.tracking.items import record_items

RUN_TYPE, EVALUATION = "mlflow.runType", "genai_evaluate"  # the tag by which MLflow lists evaluation runs
SCORES = ("s_bar", "s_l", "s_q", "unscored", "items", "answers")


def record_training(trained: Path, dataset: Path, *, seed: int, base: Base, pack: Pack, train: Train) -> str:
    """Records the training and returns the run's id: params, the dataset with its digest, and all metrics of the history by step."""
    history, data = read_history(trained / "history.jsonl"), dataset / FILE
    return runs.record(
        "train",
        checkpoints.digest(trained / "checkpoints" / "student"),
        params={"seed": seed, **_flat("base", base), **_flat("pack", pack), **_flat("train", train)},
        points=[runs.MetricPoint(f"{entry.model}/{name}", value, entry.step) for entry in history for name, value in entry.values.items()],
        inputs=[_dataset("dataset", data, "training")],
        figures={"loss.svg": lambda: plots.loss(history)},
        artifacts=[path for name in ("history.jsonl", "resolved.json") if (path := trained / name).exists()],
        stage="train",
        data=dataset,
        history=checkpoints.sha256(trained / "history.jsonl"),
    )


def record_alignment(aligned: Path, dataset: Path, *, sft_run: str, seed: int, align: Align) -> str:
    """Records the alignment and returns the run's id: params, all metrics of the history, and the training run it started from.

    `dataset` has the prompts that the pairs answer.
    """
    history, data = read_history(aligned / "history.jsonl"), dataset / FILE
    return runs.record(
        "align",
        checkpoints.digest(aligned / "checkpoints" / "aligned"),
        params={"seed": seed, **_flat("align", align)},
        points=[runs.MetricPoint(f"{entry.model}/{name}", value, entry.step) for entry in history for name, value in entry.values.items()],
        inputs=[_dataset("dataset", data, "training")],
        figures={"loss.svg": lambda: plots.loss(history)},
        artifacts=[aligned / "history.jsonl"],
        tags={"training_run": sft_run},
        stage="align",
        history=checkpoints.sha256(aligned / "history.jsonl"),
    )


def record_reinforcement(reinforced: Path, *, before: str, seed: int, reinforce: Reinforce) -> str:
    """Records the reinforcement and returns the run's id: params, all metrics of the history, and the run of the training before it."""
    history = read_history(reinforced / "history.jsonl")
    return runs.record(
        "reinforce",
        checkpoints.digest(reinforced / "checkpoints" / "reinforced"),
        params={"seed": seed, **_flat("reinforce", reinforce)},
        points=[runs.MetricPoint(f"{entry.model}/{name}", value, entry.step) for entry in history for name, value in entry.values.items()],
        figures={"loss.svg": lambda: plots.loss(history)},
        artifacts=[reinforced / "history.jsonl"],
        tags={"training_run": before},
        stage="reinforce",
        history=checkpoints.sha256(reinforced / "history.jsonl"),
    )


def record_release(name: str, version: str, folder: Path) -> str:
    """Records a release of the dataset and returns the run's id: its parts, each with its digest, columns and number of rows."""
    parts = [_dataset(f"{name}/{data.parent.name}", data, "release") for data in sorted(folder.glob(f"*/{FILE}"))]
    return runs.record(
        "release",
        hashlib.sha256(" ".join([name, version, *(part.sha256 for part in parts)]).encode()).hexdigest(),
        params={"name": name, "version": version},
        inputs=parts,
        artifacts=[card for card in [folder / "README.md"] if card.is_file()],
        stage="release",
        headline=f"{name} {version}",
    )


def _dataset(name: str, data: Path, context: str) -> runs.Input:
    """A Parquet file as MLflow's dataset: its digest, columns and number of rows."""
    import pyarrow.parquet as pq

    found = pq.ParquetFile(data)
    return runs.Input(name, data.as_posix(), checkpoints.sha256(data), context, found.metadata.num_rows, tuple(found.schema_arrow.names))


def record_evaluation(
    scorecard: Path, items: Path, cards: Mapping[str, Scorecard], *, checkpoint_digest: str, model: str, texts: Path
) -> str:
    """Records the evaluation and returns the run's id: all scores of all models, the ruler plot, the scorecard and the scored items.

    Later candidate models are compared with these items prompt by prompt. The answers of `model` are also MLflow's GenAI results;
    its view compares two versions item by item (items.py). `texts` is the file with the answers.
    """
    about = f"{checkpoint_digest} {checkpoints.sha256(scorecard)} {checkpoints.sha256(items)}"
    return runs.record(
        "evaluate",
        hashlib.sha256(about.encode()).hexdigest(),
        points=[runs.MetricPoint(f"{model}/{name}", value) for model, card in cards.items() for name, value in _values(card)],
        figures={"ruler.svg": lambda: plots.ruler({model: ruler_points(card) for model, card in cards.items()})},
        artifacts=[scorecard, items],
        inputs=[_benchmark(items, model)],
        tags={"checkpoint_digest": checkpoint_digest, RUN_TYPE: EVALUATION},
        stage="score",
        data=items,
        also=lambda run_id: record_items(
            _of(items, model), experiment=experiment(connect()), run_id=run_id, judge=cards[model].judge, texts=texts.as_posix()
        ),
        headline=_headlines(cards),
    )


def _of(items: Path, model: str) -> Iterator[ScoredItem]:
    return (item for item in store.read(items, ScoredItem) if item.model == model)


def _benchmark(items: Path, model: str) -> runs.Input:
    """The benchmark as MLflow's dataset. Its digest is that of the prompts and samples: equal for all versions evaluated on it."""
    asked = sorted((item.id, item.sample, item.prompt) for item in _of(items, model))
    digest = hashlib.sha256(repr(asked).encode()).hexdigest()
    return runs.Input("benchmark", items.as_posix(), digest, "evaluation", len(asked), ("id", "type", "language", "asked"))


def _headlines(cards: Mapping[str, Scorecard]) -> str:
    """The models' scores, best first: a list may show the beginning alone."""
    ordered = sorted(cards.items(), key=lambda entry: entry[1].s_l if entry[1].s_bar is None else entry[1].s_bar, reverse=True)
    return ", ".join(f"{model} {_headline(card)}" for model, card in ordered)


def _headline(card: Scorecard) -> str:
    return f"S_l {card.s_l:.1f}, not judged" if card.s_bar is None else f"S̄ {card.s_bar:.1f}"


def score_tags(card: Scorecard, general: Mapping[str, float | None]) -> dict[str, str]:
    """Returns a model's scores as tags of its version. Empty text means unscored."""
    scores = {name: getattr(card, name) for name in SCORES} | {f"general.{task}": score for task, score in general.items()}
    if card.fixed:
        scores |= {"s_l_fixed": card.fixed.s_l, "s_bar_fixed": card.fixed.s_bar}
    if card.degeneration:
        scores["repetition"] = card.degeneration.repetition
    return {name: "" if score is None else str(score) for name, score in scores.items()}


def ruler_points(card: Scorecard) -> list[plots.Point]:
    """Requested and written lengths in words, for the ruler plot."""
    return [plots.Point(point.asked, point.written) for point in card.ruler]


def _values(card: Scorecard) -> Iterator[tuple[str, float]]:
    groups = {"": card, **{f"bin {_plain(name)}/": group for name, group in card.by_bin.items()}}
    for prefix, group in groups.items():
        for name in SCORES:
            if (value := getattr(group, name, None)) is not None:
                yield f"{prefix}{name}", float(value)
    if card.fixed:
        yield "s_l_fixed", card.fixed.s_l
    if card.fixed and card.fixed.s_bar is not None:
        yield "s_bar_fixed", card.fixed.s_bar
    if card.degeneration:
        yield "repetition", card.degeneration.repetition


def _plain(name: str) -> str:
    """A length bin's name in the characters that MLflow allows in metric names: [0,500) becomes 0-500."""
    return re.sub(r"[^\w.-]", "", name.replace(",", "-"))


def _flat(prefix: str, section: Section) -> dict[str, object]:
    return {
        f"{prefix}.{name}": value if not isinstance(value, dict) else " ".join(f"{key}={part}" for key, part in value.items())
        for name, value in section.model_dump().items()
    }
