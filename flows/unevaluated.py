"""Evaluate registry versions that have no evaluation under the current benchmark and judge; at most two attempts per version."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast
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
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from flows import rollback, stages, workspace
from flows.version import evaluated
from tasks.schema.errors import BadSettings

DEPLOYMENT = "version"  # prefect.yaml gives it to the pool gpu


@flow(name="unevaluated", persist_result=False)
def unevaluated(elsewhere: bool = False) -> str:
    """Evaluate registry versions that have no evaluation under the benchmark and judge of params.yaml.

    Args:
        elsewhere: start a run of the deployment `version` in its work pool for each version; else evaluate them here, one by one.
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
    """Start a run in the other pool without waiting for it. Raises BadSettings without the deployment."""
    start: Callable[..., FlowRun] = cast(Any, run_deployment)  # typed as if it could return a coroutine; in a thread it does not
    try:
        run = start(f"{DEPLOYMENT}/{DEPLOYMENT}", parameters={"number": int(number)}, timeout=0, as_subflow=False)
    except ObjectNotFound:
        raise BadSettings(f"no deployment {DEPLOYMENT} at PREFECT_API_URL; `longwriter deploy` registers it") from None
    return f"version {number}: handed over as run {run.name}"


def _under_way() -> set[str]:
    """The versions with a run that has not ended."""
    going = [state for state in StateType if state not in TERMINAL_STATES]
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[DEPLOYMENT])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=going))),
        )
    return {str(run.parameters.get("number")) for run in runs}


def _drop_late() -> None:
    """Cancel late scheduled runs of this deployment, which waited while the worker was busy: this run replaces them."""
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
