"""Runs of trainings and evaluations: params, metrics, datasets, artifacts. A run is identified by the digest of what it records.

An interrupted run is closed as KILLED and recorded again: only finished runs are reused.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.tracking import lineage
from tasks.tracking.client import GONE, connect, created, experiment

if TYPE_CHECKING:
    from mlflow.entities import Run

    from mlflow import MlflowClient

DIGEST, KIND = "digest", "kind"
NOTE = "mlflow.note.content"  # the tag that MLflow shows as the run's description
ABOUT = {
    "train": "The training of the student and of its control: params, the numbers of every step, and the dataset that they read.",
    "align": "DPO of the student on its own answers: params and the numbers of every step. The tag `training_run` is where it began.",
    "reinforce": "GRPO of the student on rewards: params and the numbers of every step. The tag `training_run` is where it began.",
    "release": "A released dataset, with the versions of its parts.",
    "evaluate": "Models on the benchmark: scores from 0 to 100 over all prompts and by bins of asked words, and the scored answers.",
}
BATCH = 1000  # metrics per request; MLflow accepts no more, and at most 100 params


class MetricPoint(NamedTuple):
    """One value of a metric. `step` is 0 for a metric without steps."""

    name: str
    value: float
    step: int = 0


class Input(NamedTuple):
    """A dataset that a run read. It links the MLflow run to the data's version."""

    name: str
    path: str
    sha256: str
    context: str  # training, evaluation, release
    rows: int | None = None
    columns: tuple[str, ...] = ()


def record(
    kind: str,
    digest: str,
    *,
    params: Mapping[str, object] | None = None,
    points: Iterable[MetricPoint] = (),
    inputs: Iterable[Input] = (),
    figures: Mapping[str, Callable[[], str]] | None = None,
    artifacts: Iterable[Path] = (),
    tags: Mapping[str, str] | None = None,
    stage: str | None = None,
    data: Path | None = None,
    headline: str = "",
    history: str | None = None,
    also: Callable[[str], object] | None = None,
) -> str:
    """Returns the id of the finished run of this kind and digest. If there is none, creates it and logs everything.

    `figures` draws SVG texts by file name; for a run that exists none is drawn. `stage` is `kind` by default. The DVC version of `data`,
    an output, is recorded. `headline` is put before the names of this run and of its parent, because MLflow's list of runs shows the
    beginning of names, and no metrics.
    `history` is the SHA-256 of a training's history: the commit is then the one that trained, and is left out if it is not known. `also`
    gets the new run's id before the run is finished.
    """
    client = connect()
    if headline:
        lineage.sum_up(client, experiment(client), headline)
    if found := _find(client, kind, digest):
        return found
    note = {NOTE: ABOUT[kind]} if kind in ABOUT else {}
    own = {KIND: kind, DIGEST: digest, **note, **(tags or {}), **lineage.tags(client, experiment(client), stage=stage or kind, data=data)}
    if history is not None:
        own = {key: value for key, value in own.items() if key not in (lineage.COMMIT, lineage.DIRTY)}
        own |= lineage.trained_by(client, experiment(client), history)
    name = ", ".join(filter(None, (headline, f"{kind}-{digest[:8]}")))
    begun = experiment(client)
    run_id = created(
        lambda: str(client.create_run(begun, run_name=name, tags=own).info.run_id), lambda: next(_running(client, kind, digest), None)
    )
    _log_values(client, run_id, params or {}, list(points))
    _log_inputs(client, run_id, inputs)
    for name, draw in (figures or {}).items():
        client.log_text(run_id, draw(), name)
    for path in artifacts:
        client.log_artifact(run_id, str(path))
    if also:
        also(run_id)
    client.set_terminated(run_id, "FINISHED")
    return run_id


def recorded(run_id: str) -> "Run | None":
    """The run with this id; None if it is gone."""
    from mlflow.exceptions import MlflowException

    try:
        return connect().get_run(run_id)
    except MlflowException as error:
        if error.error_code != GONE:
            raise
        return None


def _find(client: "MlflowClient", kind: str, digest: str) -> str | None:
    """The finished run. Interrupted ones are closed."""
    finished = None
    for run in _recorded(client, kind, digest):
        if run.info.status == "FINISHED":
            finished = str(run.info.run_id)
        elif run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
    return finished


def _running(client: "MlflowClient", kind: str, digest: str) -> Iterator[str]:
    return (str(run.info.run_id) for run in _recorded(client, kind, digest) if run.info.status == "RUNNING")


def _recorded(client: "MlflowClient", kind: str, digest: str) -> "Iterable[Run]":
    filters = f"tags.{KIND} = '{kind}' and tags.{DIGEST} = '{digest}'"
    found: Iterable[Run] = client.search_runs([experiment(client)], filter_string=filters)
    return found


def _log_values(client: "MlflowClient", run_id: str, params: Mapping[str, object], points: list[MetricPoint]) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])
    for start in range(0, len(points), BATCH):
        client.log_batch(run_id, metrics=[Metric(p.name, p.value, now, p.step) for p in points[start : start + BATCH]])


def _log_inputs(client: "MlflowClient", run_id: str, inputs: Iterable[Input]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    datasets = [
        DatasetInput(
            Dataset(
                given.name,
                given.sha256[:36],  # the longest digest that MLflow accepts
                "local",
                json.dumps({"uri": given.path}),
                schema=json.dumps({"mlflow_colspec": [{"name": name, "type": "string"} for name in given.columns]})
                if given.columns
                else None,
                profile=json.dumps({"num_rows": given.rows}) if given.rows is not None else None,
            ),
            [InputTag("mlflow.data.context", given.context)],
        )
        for given in inputs
    ]
    if datasets:
        client.log_inputs(run_id, datasets=datasets)
