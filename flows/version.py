"""Evaluate one registry version on the benchmark, and record its scores on the version."""

import shutil
from functools import partial

from prefect import flow

from flows import rollback, stages, workspace
from flows.parameters import Number
from tasks.schema.errors import PipelineError
from tasks.schema.settings import settings
from tasks.tracking.client import names


@flow(name="version", flow_run_name="version {number}", persist_result=False)
def version(number: Number) -> str:
    """Evaluate one registry version on the benchmark of params.yaml, and record its scores on the version.

    Args:
        number: the version's number, such as 3.
    """
    with workspace.lock():
        return evaluated(str(number))


def evaluated(number: str) -> str:
    """Evaluate a version; the result in one line. On an error, records the reason on the version and raises.

    The output folder is emptied first. An earlier attempt's replies are in the journal, so nothing is paid twice.
    """
    address, folder = f"models:/{names().model}/{number}", settings().home / "evaluations" / f"version-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    evaluate = partial(stages.by_child, "tasks.evaluation", "evaluate", address, "--out", str(folder))
    try:
        stages.as_task("evaluate", f"{address} on the benchmark", evaluate)()
        return rollback.tracking("evaluated", number, str(folder))
    except PipelineError as error:
        rollback.tracking("fail", number, "--reason", str(error))
        raise
