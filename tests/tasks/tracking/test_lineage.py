"""Runs are nested under their flow run's and record their origin, in a real store."""

from pathlib import Path

import pytest

from tasks.tracking import lineage, runs
from tasks.tracking.client import connect, experiment

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
    assert client.get_run(scored).info.run_name == "evaluate-cccccccc: student S̄ 90.5"
    assert client.get_run(parent).info.run_name == "longwriter brave-hare: student S̄ 90.5"
    assert len(client.search_runs([experiment(client)])) == 5


def test_what_dvc_has_not_recorded_has_no_version(tmp_path: Path) -> None:
    assert lineage.dvc_version(Path("data/assemble/dataset"), tmp_path / "dvc.lock") is None
    (tmp_path / "dvc.lock").write_text(LOCK)
    assert lineage.dvc_version(Path("data/other"), tmp_path / "dvc.lock") is None
