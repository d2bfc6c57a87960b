"""What a run comes from: the commit, the data's version, the stage, and the flow run, under whose own MLflow run it is nested.

The flow hands its run's id and name down in the environment (flows/child.py); a stage that is run by hand has none, and is nested
under nothing. The parent only gathers: how a flow run went stands in Prefect.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.tracking.commit import commit

if TYPE_CHECKING:
    from mlflow import MlflowClient

FLOW_RUN, FLOW_NAME = "LONGWRITER_FLOW_RUN_ID", "LONGWRITER_FLOW_RUN_NAME"  # variables
TAG, STAGE, DATA = "flow_run_id", "stage", "data_version"
PARENT, KIND = "mlflow.parentRunId", "kind"


def tags(client: "MlflowClient", experiment: str, *, stage: str, data: Path | None = None) -> dict[str, str]:
    """For a new run. The flow's own run is made if it is not there yet."""
    found = {STAGE: stage}
    if (code := commit()) is not None:
        found |= {"git_commit": code.sha, "git_dirty": str(code.dirty).lower()}
    if data and (version := dvc_version(data)):
        found[DATA] = version
    if flow_run := os.environ.get(FLOW_RUN):
        found |= {TAG: flow_run, PARENT: _parent(client, experiment, flow_run)}
    return found


def _parent(client: "MlflowClient", experiment: str, flow_run: str) -> str:
    there = client.search_runs([experiment], filter_string=f"tags.{KIND} = 'flow' and tags.{TAG} = '{flow_run}'", max_results=1)
    if there:
        return str(there[0].info.run_id)
    tags = {KIND: "flow", TAG: flow_run, "mlflow.note.content": "Gathers the runs of one flow run; how that went stands in Prefect."}
    made = client.create_run(experiment, run_name=os.environ.get(FLOW_NAME) or f"flow-{flow_run[:8]}", tags=tags)
    client.set_terminated(made.info.run_id, "FINISHED")
    return str(made.info.run_id)


def dvc_version(path: Path, lock: Path = Path("dvc.lock")) -> str | None:
    """The MD5 that DVC knows an output by, such as 2701b640….dir; None for what it has not recorded."""
    from ruamel.yaml import YAML

    if not lock.is_file():
        return None
    tree: Any = YAML(typ="safe").load(lock.read_text(encoding="utf-8"))
    outs = [out for stage in (tree or {}).get("stages", {}).values() for out in stage.get("outs", [])]
    return next((str(out["md5"]) for out in outs if out["path"] == path.as_posix() and "md5" in out), None)
