"""Run a stage on another machine: start its run in the work pool that dvc.yaml names, and wait for it.

The machines share only the commit hash and DVC's remote. After a crash of the flow, the existing run is found and awaited, not started
twice. If the stage's run crashes, the flow waits until Prefect has restarted it once (flows/automations.py).
"""

import time
from collections.abc import Callable
from typing import Any, cast

import httpx
from dvc.repo import Repo
from prefect import get_run_logger, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, TaskRunFilter, TaskRunFilterName
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.states import Cancelling

from flows import checkout, graph
from tasks.schema.errors import BadInput, BadSettings, EndpointError, PipelineError

DEPLOYMENT = "stage/stage"  # prefect.yaml gives it to the pool gpu
LOOK = 2.0  # seconds between two checks of a run
AGAIN = 90.0  # seconds to wait until a crashed run is restarted
PATIENCE = 900.0  # seconds without a reply of Prefect's API before giving up


class Elsewhere(PipelineError):
    """The run on another machine failed. The message names the run in Prefect."""


def demand(repo: Repo, *, push: bool) -> str:
    """The commit that the workers need.

    Raises BadSettings without a server, push or DVC remote, and BadInput if tracked files have uncommitted changes.
    """
    if not get_current_settings().api.url:
        raise BadSettings("PREFECT_API_URL: not set, so no worker can be reached; set it, or run without workers")
    if not (push and repo.config["core"].get("remote")):
        raise BadSettings("stages are handed over through DVC's remote: run with push, and `dvc remote add --default NAME URL`")
    written = graph.written(repo)
    try:
        if other := [path for path in checkout.changed() if path not in written]:
            raise BadInput(other[0], "not committed, and other workers only see commits", fix="commit and push it, then run again")
        return checkout.head()
    except checkout.CheckoutError as error:
        raise BadSettings(str(error)) from None


def hand_over(stage: str, pool: str, commit: str) -> bool:
    """Run the stage in the pool and wait for its end; whether it really ran there. Raises Elsewhere if it fails.

    If this process is stopped, the run is cancelled.
    """
    run = _begun(stage, commit)
    log = get_run_logger()
    log.info("%s: handed over to the pool %s as run %s", stage, pool, run.name)
    try:
        _await(run, stage)
    except BaseException as error:
        if not isinstance(error, Elsewhere):
            _cancel(run)
        raise
    return _ran(run, stage)


def _ran(run: FlowRun, stage: str) -> bool:
    """Whether the stage's task of this run has the state Completed, and not Cached or Restored."""
    tasks = TaskRunFilter(name=TaskRunFilterName(any_=[stage]))
    with get_client(sync_client=True) as client:
        found = client.read_task_runs(task_run_filter=tasks, flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    return not found or any(one.state_name == "Completed" for one in found)


def _begun(stage: str, commit: str) -> FlowRun:
    """The stage's run for this flow run. A restarted flow finds its earlier run, and starts a new one only if that run failed."""
    name, key = DEPLOYMENT, f"{runtime.flow_run.id}:{stage}"
    given = {"name": stage, "commit": commit, "push": True}
    start: Callable[..., FlowRun] = cast(Any, run_deployment)  # typed as if it could return a coroutine; in a thread it does not
    try:
        run = start(name, parameters=given, timeout=0, idempotency_key=key)
        if run.state and run.state.is_final() and not run.state.is_completed():
            run = start(name, parameters=given, timeout=0, idempotency_key=f"{key}:{runtime.flow_run.run_count}")
    except ObjectNotFound:
        raise BadSettings(f"no deployment {name} at PREFECT_API_URL; `longwriter deploy` registers it") from None
    return run


def _await(run: FlowRun, stage: str) -> None:
    log, shown, crashed, heard = get_run_logger(), "", 0.0, time.monotonic()
    while True:
        try:
            with get_client(sync_client=True) as client:
                state = client.read_flow_run(run.id).state
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            if time.monotonic() - heard > PATIENCE:
                raise EndpointError(f"Prefect's API did not answer for {PATIENCE:.0f} s: {type(error).__name__}") from None
            time.sleep(LOOK)
            continue
        heard = time.monotonic()
        if state and state.name != shown:
            shown = str(state.name)
            log.info("%s: %s%s", stage, shown, f": {state.message}" if state.message and state.is_final() else "")
        if state and state.is_completed():
            return
        if state and state.is_final():
            crashed = crashed or time.monotonic()
            if state.type is not StateType.CRASHED or time.monotonic() - crashed > AGAIN:
                raise Elsewhere(f"{stage}: {shown} elsewhere: {state.message or 'no reason given'}; see the run {run.name} in Prefect")
        else:
            crashed = 0.0
        time.sleep(LOOK)


def _cancel(run: FlowRun) -> None:
    try:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, Cancelling(message="the flow that waited for it was ended"))
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        get_run_logger().warning("the run %s could not be cancelled: %s", run.name, type(error).__name__)
