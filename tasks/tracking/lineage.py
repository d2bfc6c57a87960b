"""The lineage of a run: commit, data version, stage and flow run. The run is nested under an MLflow run of the flow run.

flows/child.py passes the flow run's id and name in the environment. A stage run by hand has none and is not nested. The parent run only
groups its stages; the state of the flow run is in Prefect.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.tracking.commit import commit

if TYPE_CHECKING:
    from mlflow import MlflowClient

FLOW_RUN, FLOW_NAME = "LONGWRITER_FLOW_RUN_ID", "LONGWRITER_FLOW_RUN_NAME"  # environment variables
TAG, STAGE, DATA = "flow_run_id", "stage", "data_version"
PARENT, KIND = "mlflow.parentRunId", "kind"
HISTORY = "history_sha256"  # tag of a training's progress run: the SHA-256 of its history.jsonl
COMMIT, DIRTY = "git_commit", "git_dirty"  # tags of a run: the commit of the code that ran, and whether tracked files had changes


def tags(client: "MlflowClient", experiment: str, *, stage: str, data: Path | None = None) -> dict[str, str]:
    """Returns the tags of a new run. Creates the parent run of the flow run if it is missing."""
    found = {STAGE: stage}
    if (code := commit()) is not None:
        found |= {COMMIT: code.sha, DIRTY: str(code.dirty).lower()}
    if data and (version := dvc_version(data)):
        found[DATA] = version
    if flow_run := os.environ.get(FLOW_RUN):
        found |= {TAG: flow_run, PARENT: _parent(client, experiment, flow_run)}
    return found


def trained_by(client: "MlflowClient", experiment: str, history: str) -> dict[str, str]:
    """Returns the commit tags of the training with this history; empty if this registry did not see it run.

    A training may be recorded long after it ran, at another commit and on another machine. Its progress run knows the commit.
    """
    found = client.search_runs([experiment], filter_string=f"tags.{KIND} = 'progress' and tags.{HISTORY} = '{history}'", max_results=1)
    return {name: value for run in found for name, value in run.data.tags.items() if name in (COMMIT, DIRTY)}


def sum_up(client: "MlflowClient", experiment: str, headline: str) -> None:
    """Put what came of the flow run before the name of its own run, under which the list of runs folds all others."""
    if flow_run := os.environ.get(FLOW_RUN):
        client.update_run(_parent(client, experiment, flow_run), name=f"{headline}, {_name(flow_run)}")


def _name(flow_run: str) -> str:
    return os.environ.get(FLOW_NAME) or f"flow-{flow_run[:8]}"


def _parent(client: "MlflowClient", experiment: str, flow_run: str) -> str:
    there = client.search_runs([experiment], filter_string=f"tags.{KIND} = 'flow' and tags.{TAG} = '{flow_run}'", max_results=1)
    if there:
        return str(there[0].info.run_id)
    tags = {KIND: "flow", TAG: flow_run, "mlflow.note.content": "Gathers the runs of one flow run; Prefect shows how that went."}
    made = client.create_run(experiment, run_name=_name(flow_run), tags=tags)
    client.set_terminated(made.info.run_id, "FINISHED")
    return str(made.info.run_id)


def dvc_version(path: Path, lock: Path = Path("dvc.lock")) -> str | None:
    """Returns the MD5 that DVC recorded for an output, such as 2701b640….dir; None if it has none."""
    from ruamel.yaml import YAML

    if not lock.is_file():
        return None
    tree: dict[str, Any] | None = YAML(typ="safe").load(lock.read_text(encoding="utf-8"))
    outs = [out for stage in (tree or {}).get("stages", {}).values() for out in stage.get("outs", [])]
    return next((str(out["md5"]) for out in outs if out["path"] == path.as_posix() and "md5" in out), None)
