"""The registry on a real SQLite store: one version per checkpoint, aliases, and no file that runs code."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from mlflow import MlflowClient
from tasks.schema.errors import BadInput, EndpointError
from tasks.tracking import registry, runs
from tasks.tracking.checkpoint import refuse_foreign
from tasks.tracking.client import RETRIES, answering, connect, experiment, names

CHAMPION = "models:/longwriter@champion"


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
    assert registry.find(first.tags[registry.DIGEST]) == first
    assert registry.find("0" * 64) is None

    connect().set_registered_model_alias(names().model, "champion", "1")
    loaded = registry.fetch(CHAMPION)
    files = {path.relative_to(loaded).as_posix() for path in loaded.rglob("*") if path.is_file()}
    assert files == {"model.safetensors", "config.json", "chat_template.jinja", "nested/extra.json"}
    assert (loaded / "model.safetensors").read_bytes() == b"weights"
    assert registry.fetch(CHAMPION) == registry.fetch("models:/longwriter/1") == loaded
    assert registry.fetch("models:/longwriter/2") != loaded


WRITES = ("create_logged_model", "log_model_artifact", "finalize_logged_model", "log_outputs", "create_model_version")


def failing(monkeypatch: pytest.MonkeyPatch, name: str, *, carried_out: bool) -> list[str]:
    """MLflow's client fails at the first call of this name, before or after it is carried out; all calls."""
    calls, method = list[str](), getattr(MlflowClient, name)

    def call(*arguments: Any, **given: Any) -> Any:
        calls.append(os.environ.get(RETRIES, ""))
        if len(calls) > 1:
            return method(*arguments, **given)
        if carried_out:
            method(*arguments, **given)
        raise MlflowException("the connection was lost")

    monkeypatch.setattr(MlflowClient, name, call)
    return calls


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_registration_that_is_interrupted_is_continued_and_makes_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, carried_out: bool
) -> None:
    for number, name in enumerate(WRITES, start=1):
        folder, run = checkpoint(tmp_path / name, weights=name.encode()), runs.record("train", name)
        with monkeypatch.context() as patch:
            calls = failing(patch, name, carried_out=carried_out)
            with suppress(MlflowException):
                registry.register(folder, run_id=run, tags={"s_bar": "61.5"})
        assert calls[0] == "0" or not name.startswith("create"), "MLflow's client does not repeat it by itself"
        version = registry.register(folder, run_id=run, tags={"s_bar": "61.5"})
        assert [one.number for one in registry.versions()][-1] == version.number == str(number)
        assert version.tags == registry.version(version.number).tags
        (model,) = connect().search_logged_models([experiment(connect())], filter_string=f"source_run_id = '{run}'")
        assert [output.model_id for output in connect().get_run(run).outputs.model_outputs] == [model.model_id]
        assert (registry.fetch(f"models:/longwriter/{number}") / "model.safetensors").read_bytes() == name.encode()


def test_a_deleted_version_whose_files_are_gone_is_registered_again_with_its_files(tmp_path: Path, home: Path) -> None:
    folder, run = checkpoint(tmp_path / "a"), runs.record("train", "abc")
    registry.register(folder, run_id=run, tags={})
    connect().delete_model_version(names().model, "1")
    for path in (home / "mlartifacts").rglob("model.safetensors"):
        path.unlink()
    assert registry.register(folder, run_id=run, tags={}).number == "2"
    assert registry.files_missing("2") is None
    assert (registry.fetch("models:/longwriter/2") / "model.safetensors").read_bytes() == b"weights"


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
        registry.fetch(CHAMPION)
    assert not list((home / "models").glob("*"))


OUTSIDE = ["../x.json", "a/../../x.json", "/etc/x.json", "//host/share/x.json", "./x.json", "a//x.json", "a/./x.json", "..", ".", ""]
ESCAPED = ["%2e%2e/x.json", "..%2fx.json", "%2fetc%2fx.json", "a%00.json", "%252e%252e%252fx.json", "%5c%5chost%5cx.json"]
WINDOWS = ["..\\x.json", "C:\\x.json", "C:/x.json", "\\\\host\\share\\x.json", "x.json:stream.json"]
SIGNS = ["a?.json", "a*.json", 'a".json', "a<b.json", "a|b.json", "a\0.json", "a\n.json", "a\x1b[2J.json", "a\x7f.json"]
LONG = ["x" * 251 + ".json", "字" * 90 + ".json", "ok/" + "x" * 300 + "/x.json"]
NO_CHECKPOINTS = ["modeling.py", "run.sh", "x.so", "x.npy", "x.npz", "x", ".bashrc", "x.json.exe", "x.yaml", "x.h5", "x.msgpack", "x.gguf"]


@pytest.mark.parametrize("path", [*OUTSIDE, *ESCAPED, *WINDOWS, *SIGNS, *LONG, *NO_CHECKPOINTS], ids=ascii)
def test_what_the_pipeline_would_not_have_kept_is_not_fetched(path: str) -> None:
    with pytest.raises(BadInput) as error:
        refuse_foreign(CHAMPION, ["model.safetensors", "nested/extra.json", path])
    assert "\n" not in str(error.value)
    assert "check the store" in str(error.value)


def test_names_that_the_pipeline_keeps_are_fetched() -> None:
    refuse_foreign(CHAMPION, ["model-00001-of-00002.safetensors", "a b/tokenizer.model", "模型.json", "..x.json", "chat_template.jinja"])


def test_a_link_in_the_store_brings_nothing_in_from_outside(tmp_path: Path, home: Path) -> None:
    version = registry.register(checkpoint(tmp_path / "a"), run_id=runs.record("train", "abc"), tags={})
    connect().set_registered_model_alias(names().model, "champion", version.number)
    (tmp_path / "private.json").write_text("private")
    stored = next((home / "mlartifacts").rglob("model.safetensors")).parent
    (stored / "config.json").unlink()
    (stored / "config.json").symlink_to(tmp_path / "private.json")
    with pytest.raises(EndpointError, match=r"MLflow: .*outside the artifact directory; run again"), answering():
        registry.fetch(CHAMPION)
    assert not list((home / "models").glob("*"))


def test_an_address_that_leads_nowhere_says_so_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"^models:/longwriter@champion: no registered model longwriter; fix: run the promote stage: `longwriter run`$"
    ):
        registry.fetch(CHAMPION)
    registry.register(checkpoint(tmp_path / "a"), run_id=runs.record("train", "abc"), tags={})
    with pytest.raises(BadInput, match="points to no version; fix: promote a model first"):
        registry.fetch(CHAMPION)
    connect().set_registered_model_alias(names().model, "challenger", "1")
    with pytest.raises(BadInput, match="points to no version; fix: use one of challenger"):
        registry.fetch(CHAMPION)
    with pytest.raises(BadInput, match=r"models:/longwriter/7: no such version"):
        registry.fetch("models:/longwriter/7")
    with pytest.raises(BadInput, match="no registered model other"):
        registry.fetch("models:/other@champion")
    connect().create_registered_model("foreign")
    connect().create_model_version("foreign", source="/nowhere")
    with pytest.raises(BadInput, match="no checkpoint_digest tag: it was not registered by this pipeline"):
        registry.fetch("models:/foreign/1")


@pytest.mark.parametrize(
    "address", ["champion", "models:/longwriter", "models:/a/b/1", "models:/longwriter/0", "models:/a'b@c", "models:/m-1@", ""]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="not an address of the registry; fix: write it as models:/longwriter@champion"):
        registry.fetch(address)


def test_a_finished_run_is_found_again_and_a_broken_one_is_closed_and_recorded_afresh() -> None:
    client = connect()
    broken = client.create_run(experiment(client), tags={runs.KIND: "train", runs.DIGEST: "abc"}).info.run_id
    points = [runs.MetricPoint("student/loss", 1 / (step + 1), step) for step in range(1_200)]
    data = runs.Input("dataset", 'data/a "quoted" path', "f" * 64, "training")
    drawn = list[str]()

    def draw() -> str:
        drawn.append("loss")
        return "<svg/>"

    figures = {"loss.svg": draw}
    first = runs.record("train", "abc", params={"epochs": 3}, points=points, inputs=[data], figures=figures)
    assert runs.record("train", "abc", figures=figures) == first
    assert drawn == ["loss"], "of a run that exists nothing is drawn"
    assert runs.record("evaluate", "abc") != first
    assert client.get_run(broken).info.status == "KILLED"
    found = client.get_run(first)
    assert found.data.params == {"epochs": "3"}
    assert len(client.get_metric_history(first, "student/loss")) == 1_200
    assert found.inputs.dataset_inputs[0].dataset.digest == "f" * 36
    assert [entry.path for entry in client.list_artifacts(first)] == ["loss.svg"]
