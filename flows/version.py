"""One version of the registry on the benchmark: its answers, the judge's verdicts, and the scores on the version."""

import shutil
from functools import partial

from prefect import flow

from flows import rollback, stages, workspace
from tasks.schema.errors import PipelineError
from tasks.schema.settings import settings
from tasks.tracking.client import names


@flow(name="version", flow_run_name="version {number}", persist_result=False)
def version(number: str) -> str:
    """One version of the registry on the benchmark of params.yaml, judged and scored; the scores become the version's.

    Args:
        number: of the version, such as 3.
    """
    with workspace.lock():
        return evaluated(number)


def evaluated(number: str) -> str:
    """What became of it, in a line. Raises StageFailed, with the reason on the version.

    What an earlier try was answered is in the journal: the folder begins empty, and nothing is paid twice.
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
