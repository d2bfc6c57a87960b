"""Promotion, whole, on a real SQLite store: winners move the alias, losers challenge, repeats change nothing."""

import json
from pathlib import Path

import pytest

from tasks import promote
from tasks.corpus.dataset import write_dataset
from tasks.schema.params import Promote, load
from tasks.schema.records import Message, Sample
from tasks.tracking import registry
from tasks.tracking.client import connect, names
from tasks.tracking.gate import Decision

GATE = Promote(min_s_bar=50.0, min_s_l=60.0, min_gain_over_champion=1.0, max_unscored=0.02)


@pytest.fixture(autouse=True)
def store(mlflow_home: Path) -> Path:
    return mlflow_home


def candidate(folder: Path, *, weights: bytes, s_bar: float | None, s_l: float = 80.0, unscored: int = 0) -> Path:
    """What train, score and assemble leave behind, small."""
    for model in ("student", "control"):
        (folder / "train/checkpoints" / model).mkdir(parents=True)
        (folder / "train/checkpoints" / model / "model.safetensors").write_bytes(weights + model.encode())
        (folder / "train/checkpoints" / model / "config.json").write_text("{}")
    steps = [{"model": model, "step": step, "loss": 5.0 / step} for model in ("student", "control") for step in (1, 2, 3)]
    (folder / "train/history.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    (folder / "scorecard.json").write_text(json.dumps({"student": card(s_bar, s_l, unscored), "control": card(20.0, 30.0, 0)}))
    words = (Message(role="user", content="Write."), Message(role="assistant", content="So be it."))
    sample = Sample(id="a", messages=words, language="en", asked_words=3, written_words=3, paragraphs=1, source="pool:1")
    write_dataset(folder / "dataset", [sample], [])
    return folder


def card(s_bar: float | None, s_l: float, unscored: int) -> dict[str, object]:
    s_q = None if s_bar is None else 2 * s_bar - s_l
    ruler = [{"asked": 100, "written": 98}, {"asked": 200, "written": 190}]
    group = {"items": 100, "s_l": s_l, "s_q": s_q, "s_bar": s_bar, "unscored": unscored}
    return {**group, "by_bin": {"[0, 500)": group}, "by_language": {"en": group}, "by_type": {"News": group}, "ruler": ruler, "judge": "j"}


def run(folder: Path) -> Decision:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    params = load()
    inputs = (folder / "train", folder / "scorecard.json", folder / "dataset", out)
    promote.run(*inputs, seed=params.seed, base=params.base, pack=params.pack, train=params.train, promote=GATE)
    return Decision.model_validate_json((out / "decision.json").read_text())


def aliases() -> dict[str, str]:
    return {alias: str(number) for alias, number in connect().get_registered_model(names().model).aliases.items()}


def test_the_champion_moves_to_a_better_version_and_a_loser_stays_challenger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    assert first.passed
    assert aliases() == {"champion": "1"}

    loser = run(candidate(tmp_path / "b", weights=b"2", s_bar=60.5))
    assert not loser.passed
    assert aliases() == {"champion": "1", "challenger": "2"}
    assert "gain_over_champion 0.50, at least 1.00: fails" in loser.reason
    assert "version 2 is challenger: not all axes hold" in capsys.readouterr().out

    better = run(candidate(tmp_path / "c", weights=b"3", s_bar=70.0))
    assert better.passed
    assert better.champion_before == "1"
    assert aliases() == {"champion": "3", "challenger": "1"}
    assert (registry.download("champion") / "model.safetensors").read_bytes() == b"3student"


def test_a_rerun_finds_its_runs_and_its_version_and_stays_champion(tmp_path: Path) -> None:
    folder = candidate(tmp_path / "a", weights=b"1", s_bar=60.0)
    first, second = run(folder), run(folder)
    assert (second.version, second.alias) == ("1", "champion")
    assert (second.training_run, second.evaluation_run) == (first.training_run, first.evaluation_run)
    assert len(connect().search_model_versions(f"name = '{names().model}'")) == 1


def test_a_first_model_that_does_not_pass_is_challenger_and_nobody_is_champion(tmp_path: Path) -> None:
    decision = run(candidate(tmp_path / "a", weights=b"1", s_bar=None, unscored=100))
    assert aliases() == {"challenger": "1"}
    assert decision.axes[0].value is None
    assert "s_bar is missing" in decision.reason


def test_reasons_runs_and_provenance_are_recorded(tmp_path: Path) -> None:
    decision = run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    client = connect()
    version = client.get_model_version(names().model, decision.version)
    assert version.description == f"champion: {decision.reason}"
    assert version.tags["gate"] == "passed"
    assert version.tags["gate.s_l"] == "s_l 80.00, at least 60.00: holds"
    assert version.run_id == decision.training_run
    training = client.get_run(decision.training_run)
    assert training.data.params["train.tiny"] == "layers=3 width=128 heads=4"
    assert training.inputs.dataset_inputs[0].tags[0].value == "training"
    assert [metric.value for metric in client.get_metric_history(decision.training_run, "student/loss")] == [5.0, 2.5, 5 / 3]
    evaluation = client.get_run(decision.evaluation_run).data
    assert evaluation.metrics["student/s_bar"] == 60.0
    assert evaluation.metrics["control/bin 0-500/s_l"] == 30.0
    assert {entry.path for entry in client.list_artifacts(decision.evaluation_run)} == {"ruler.svg", "scorecard.json"}
