"""Runs are nested under their flow run's and record their origin, in a real store."""

from pathlib import Path

import pytest

from tasks.corpus.dataset import write_dataset
from tasks.schema.records import Message, Sample
from tasks.tracking import lineage, runs
from tasks.tracking.client import connect, experiment
from tasks.tracking.recording import record_release

LOCK = """
schema: '2.0'
stages:
  assemble:
    cmd: make it
    outs:
    - {path: data/assemble/dataset, hash: md5, md5: 2701b64086673f490187c37662dae7e1.dir}
"""


def test_runs_of_one_flow_run_have_one_parent_and_those_of_none_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text(LOCK)
    alone = runs.record("train", "a" * 8, stage="train")
    monkeypatch.setenv(lineage.FLOW_RUN, "11111111-2222-3333-4444-555555555555")
    monkeypatch.setenv(lineage.FLOW_NAME, "longwriter brave-hare")
    data = Path("data/assemble/dataset")
    both = [runs.record(kind, "b" * 8, stage=stage, data=data) for kind, stage in (("train", "train"), ("evaluate", "score"))]
    client = connect()
    found = [client.get_run(run).data.tags for run in both]
    assert {tags[lineage.TAG] for tags in found} == {"11111111-2222-3333-4444-555555555555"}
    assert [tags["stage"] for tags in found] == ["train", "score"]
    assert {tags["data_version"] for tags in found} == {"2701b64086673f490187c37662dae7e1.dir"}
    (parent,) = {tags["mlflow.parentRunId"] for tags in found}
    assert client.get_run(parent).info.run_name == "longwriter brave-hare"
    assert "mlflow.parentRunId" not in client.get_run(alone).data.tags
    scored = runs.record("evaluate", "c" * 8, stage="score", headline="student S̄ 90.5")
    assert client.get_run(scored).info.run_name == "student S̄ 90.5, evaluate-cccccccc"
    assert client.get_run(parent).info.run_name == "student S̄ 90.5, longwriter brave-hare"
    assert len(client.search_runs([experiment(client)])) == 5


def test_what_dvc_has_not_recorded_has_no_version(tmp_path: Path) -> None:
    assert lineage.dvc_version(Path("data/assemble/dataset"), tmp_path / "dvc.lock") is None
    (tmp_path / "dvc.lock").write_text(LOCK)
    assert lineage.dvc_version(Path("data/other"), tmp_path / "dvc.lock") is None


@pytest.mark.usefixtures("mlflow_home")
def test_a_training_has_the_commit_that_trained_or_none() -> None:
    client = connect()
    tags = {lineage.KIND: "progress", lineage.HISTORY: "abc", lineage.COMMIT: "0123", lineage.DIRTY: "false"}
    client.create_run(experiment(client), tags=tags)
    known, unknown = (client.get_run(runs.record("train", history, history=history)).data.tags for history in ("abc", "def"))
    assert (known[lineage.COMMIT], known[lineage.DIRTY]) == ("0123", "false")
    assert lineage.COMMIT not in unknown, "the commit that records it is another"
    assert lineage.COMMIT in client.get_run(runs.record("evaluate", "abc")).data.tags


@pytest.mark.usefixtures("mlflow_home")
def test_a_release_has_its_parts_as_datasets(tmp_path: Path) -> None:
    words = (Message(role="user", content="Write."), Message(role="assistant", content="So be it."))
    for part in ("long", "general"):
        sample = Sample(id=part, messages=words, language="en", asked_words=3, written_words=3, paragraphs=1, source="pool:1")
        write_dataset(tmp_path / part, [sample])
    run_id = record_release("longwriter-6k", "v1.0.0", tmp_path)
    assert record_release("longwriter-6k", "v1.0.0", tmp_path) == run_id
    found = connect().get_run(run_id).inputs.dataset_inputs
    assert {given.dataset.name: given.tags[0].value for given in found} == {
        "longwriter-6k/long": "release",
        "longwriter-6k/general": "release",
    }
    assert all('"messages"' in given.dataset.schema for given in found)
