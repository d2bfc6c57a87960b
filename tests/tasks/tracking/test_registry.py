"""The registry on a real SQLite store: one version per checkpoint, aliases, and nothing that executes."""

from pathlib import Path

import pytest

from tasks.schema.errors import BadInput
from tasks.schema.params import Promote
from tasks.tracking import gate, registry, runs
from tasks.tracking.client import connect, experiment, names

GATE = Promote(min_s_bar=50.0, min_s_l=60.0, min_gain_over_champion=0.0, max_unscored=0.02)


class Card:
    """The scores that the gate looks at."""

    def __init__(self, s_bar: float | None, *, s_l: float = 80.0, unscored: int = 0, items: int = 100) -> None:
        self.s_bar, self.s_l, self.unscored, self.items = s_bar, s_l, unscored, items


@pytest.fixture(autouse=True)
def home(mlflow_home: Path) -> Path:
    return mlflow_home


def checkpoint(folder: Path, *, weights: bytes = b"weights") -> Path:
    (folder / "nested").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "nested/extra.json").write_text("[]")
    (folder / "notes.log").write_text("not part of a checkpoint")
    return folder


def test_a_checkpoint_is_one_version_however_often_it_is_registered_and_loads_by_alias(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a")
    run = runs.record("train", "abc", params={"epochs": 3})
    first = registry.register(folder, run_id=run, tags={"s_bar": "61.5"})
    again = registry.register(folder, run_id=run, tags={"s_bar": "61.5"})
    other = registry.register(checkpoint(tmp_path / "b", weights=b"others"), run_id=run, tags={})
    assert (first.number, again.number, other.number) == ("1", "1", "2")
    assert first.score("s_bar") == 61.5

    connect().set_registered_model_alias(names().model, "champion", "1")
    loaded = registry.download("champion")
    files = {path.relative_to(loaded).as_posix() for path in loaded.rglob("*") if path.is_file()}
    assert files == {"model.safetensors", "config.json", "chat_template.jinja", "nested/extra.json"}
    assert (loaded / "model.safetensors").read_bytes() == b"weights"
    assert registry.download("champion") == loaded


@pytest.mark.parametrize("name", ["training_args.bin", "optimizer.pt", "nested/rng_state.pth", "model.PKL", "last.ckpt"])
def test_a_pickle_in_a_checkpoint_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = checkpoint(tmp_path / "a")
    (folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(BadInput, match=f"{Path(name).name}.*pickle"):
        registry.register(folder, run_id="", tags={})


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"no \.safetensors"):
        registry.register(folder, run_id="", tags={})


@pytest.mark.parametrize(("name", "content"), [("late.pt", "a pickle"), ("config.json", "differ")])
def test_what_was_changed_in_the_store_is_not_loaded(tmp_path: Path, home: Path, name: str, content: str) -> None:
    version = registry.register(checkpoint(tmp_path / "a"), run_id=runs.record("train", "abc"), tags={})
    connect().set_registered_model_alias(names().model, "champion", version.number)
    stored = next((home / "mlartifacts").rglob("model.safetensors")).parent
    (stored / name).write_bytes(b"tampered with")
    with pytest.raises(BadInput, match=content):
        registry.download("champion")
    assert not list((home / "models").glob("*"))


def test_an_alias_that_points_to_nothing_says_so() -> None:
    with pytest.raises(BadInput, match="points to no version"):
        registry.download("champion")


def test_a_finished_run_is_found_again_and_a_broken_one_is_closed_and_recorded_afresh() -> None:
    client = connect()
    broken = client.create_run(experiment(client), tags={runs.KIND: "train", runs.DIGEST: "abc"}).info.run_id
    points = [runs.Point("student/loss", 1 / (step + 1), step) for step in range(1_200)]
    data = runs.Input("dataset", 'data/a "quoted" path', "f" * 64, "training")
    first = runs.record("train", "abc", params={"epochs": 3}, points=points, inputs=[data], figures={"loss.svg": "<svg/>"})
    assert runs.record("train", "abc") == first
    assert runs.record("evaluate", "abc") != first
    assert client.get_run(broken).info.status == "KILLED"
    found = client.get_run(first)
    assert found.data.params == {"epochs": "3"}
    assert len(client.get_metric_history(first, "student/loss")) == 1_200
    assert found.inputs.dataset_inputs[0].dataset.digest == "f" * 36
    assert [entry.path for entry in client.list_artifacts(first)] == ["loss.svg"]


def decide(version: str, card: Card, champion: gate.Reign | None) -> gate.Decision:
    return gate.decide(card, version, champion, promote=GATE, training_run="t", evaluation_run="e")


@pytest.mark.parametrize(
    ("card", "failed"),
    [
        (Card(49.9), {"s_bar", "gain_over_champion"}),
        (Card(70.0, s_l=59.9), {"s_l"}),
        (Card(70.0, unscored=3), {"unscored"}),
        (Card(None, unscored=100), {"s_bar", "unscored", "gain_over_champion"}),
        (Card(54.9), {"gain_over_champion"}),
        (Card(70.0, unscored=2), set()),
    ],
)
def test_every_axis_of_the_gate_can_fail_and_all_must_hold(card: Card, failed: set[str]) -> None:
    decision = decide("2", card, gate.Reign("1", 55.0))
    assert {axis.name for axis in decision.axes if not axis.passed} == failed
    assert decision.passed == (not failed)
    assert decision.alias == ("challenger" if failed else "champion")


def test_a_champion_does_not_lose_to_itself_and_a_first_one_needs_no_gain() -> None:
    assert decide("1", Card(40.0), gate.Reign("1", 55.0)).alias == "champion"
    assert [axis.name for axis in decide("1", Card(70.0), None).axes] == ["s_bar", "s_l", "unscored"]
