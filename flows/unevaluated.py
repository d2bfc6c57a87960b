"""What came into the registry and nobody has evaluated under today's benchmark and judge: each version is given two tries."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from flows import rollback, stages, workspace
from flows.version import evaluated
from tasks.schema.errors import BadSettings

DEPLOYMENT = "version"  # prefect.yaml gives it to the pool gpu


@flow(name="unevaluated", persist_result=False)
def unevaluated(elsewhere: bool = False) -> str:
    """Versions of the registry that nobody has evaluated under the benchmark and judge of params.yaml are evaluated.

    Args:
        elsewhere: start a run of the deployment `version`, on its own work pool, for each of them; else evaluate them here, one by one.
    """
    if elsewhere:
        _drop_late()
    log, said, failed = get_run_logger(), [], []
    running = _under_way() if elsewhere else set()
    for one in json.loads(rollback.tracking("unevaluated", "--json")):
        number = one["number"]
        if number in running:
            said.append(f"version {number} is being evaluated")
        elif one["given_up"]:
            said.append(f"version {number} is given up after {one['tries']} tries: {one['failed'] or 'see its runs in Prefect'}")
        else:
            rollback.tracking("begin", number)
            try:
                said.append(_started(number) if elsewhere else _here(number))
            except stages.StageFailed as error:
                failed.append(f"version {number}: {error}")
    for line in said:
        log.info("%s", line)
    if failed:
        raise stages.StageFailed("; ".join(failed), exit_code=1)
    return "\n".join(said) or "nothing new"


def _here(number: str) -> str:
    with workspace.lock():
        return evaluated(number)


def _started(number: str) -> str:
    """A run on the other pool; it is not waited for. Raises BadSettings without the deployment."""
    start: Callable[..., Any] = run_deployment  # typed as if it might give a coroutine: it does not in a thread
    try:
        run = start(f"{DEPLOYMENT}/{DEPLOYMENT}", parameters={"number": number}, timeout=0, as_subflow=False)
    except ObjectNotFound:
        raise BadSettings(f"no deployment {DEPLOYMENT} at PREFECT_API_URL; `longwriter deploy` registers it") from None
    return f"version {number}: handed over as run {run.name}"


def _under_way() -> set[str]:
    """The versions whose run has not ended."""
    going = [state for state in StateType if state not in TERMINAL_STATES]
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[DEPLOYMENT])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=going))),
        )
    return {str(run.parameters.get("number")) for run in runs}


def _drop_late() -> None:
    """Looks that waited while the worker had other work: this one stands for all of them."""
    if not runtime.deployment.id:
        return
    late = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=datetime.now(UTC)),
    )
    own = DeploymentFilter(id=DeploymentFilterId(any_=[UUID(str(runtime.deployment.id))]))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(deployment_filter=own, flow_run_filter=late):
            client.set_flow_run_state(run.id, Cancelled(message=f"{runtime.flow_run.name} looks in its place"), force=True)
