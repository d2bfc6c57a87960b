"""A stage that belongs to another machine: its run is handed over to the work pool that dvc.yaml names for it, and awaited.

Nothing but the commit's number and DVC's remote passes between the machines. A run that is found again after a crash is awaited, not
started twice; one that crashed is waited for while Prefect starts it once more (flows/automations.py).
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
from dvc.repo import Repo
from prefect import get_run_logger, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.states import Cancelling

from flows import checkout
from tasks.schema.errors import BadInput, BadSettings, EndpointError, PipelineError

POOL = "pool"  # the key in a stage's `meta`
DEPLOYMENT = "stage/stage"  # prefect.yaml gives it to the pool gpu
LOOK = 2.0  # seconds between two looks at a run
AGAIN = 90.0  # seconds that a crashed run may take to be started once more
PATIENCE = 900.0  # seconds without an answer from Prefect's API until it is given up


class Elsewhere(PipelineError):
    """The run that was handed over did not end well; says where to look."""


def pools(repo: Repo) -> dict[str, str]:
    """The work pool of each stage that has one: `meta: {pool: gpu}` in its dvc.yaml."""
    found = {stage.addressing: (getattr(stage, "meta", None) or {}).get(POOL) for stage in repo.index.stages}
    return {name: str(pool) for name, pool in found.items() if pool}


def demand(repo: Repo, *, push: bool) -> str:
    """The commit that the workers will need. Raises one line where handing over cannot work, before anything ran."""
    if not get_current_settings().api.url:
        raise BadSettings("PREFECT_API_URL: not set, so no worker can be asked; set it, or run without handing over")
    if not (push and repo.config["core"].get("remote")):
        raise BadSettings("stages are handed over through DVC's remote: run with push, and `dvc remote add --default NAME URL`")
    locks = {_relative(stage.path).removesuffix(".yaml") + ".lock" for stage in repo.index.stages if stage.cmd}
    written = locks | {_relative(out.fs_path) for stage in repo.index.stages for out in stage.outs if not out.use_cache}
    try:
        if other := [path for path in checkout.changed() if path not in written]:
            raise BadInput(other[0], "not committed, and other workers only see commits", fix="commit and push it, then run again")
        return checkout.head()
    except checkout.CheckoutError as error:
        raise BadSettings(str(error)) from None


def _relative(path: str) -> str:
    return Path(path).resolve().relative_to(Path.cwd()).as_posix()


def hand_over(stage: str, pool: str, commit: str) -> None:
    """Run the stage on the pool and wait for its end. Raises Elsewhere unless it completed. If we are ended, so is the run."""
    run = _begun(stage, commit)
    log = get_run_logger()
    log.info("%s: handed over to the pool %s as run %s", stage, pool, run.name)
    try:
        _await(run, stage)
    except BaseException as error:
        if not isinstance(error, Elsewhere):
            _cancel(run)
        raise


def _begun(stage: str, commit: str) -> FlowRun:
    """One run for each stage of the flow's run: found again if the flow was started once more, and new only if that one failed."""
    name, key = DEPLOYMENT, f"{runtime.flow_run.id}:{stage}"
    given = {"name": stage, "commit": commit, "push": True}
    start: Callable[..., Any] = run_deployment  # typed as if it might give a coroutine: it does not in a thread
    try:
        run = start(name, parameters=given, timeout=0, idempotency_key=key)
        if run.state and run.state.is_final() and not run.state.is_completed():
            run = start(name, parameters=given, timeout=0, idempotency_key=f"{key}:{runtime.flow_run.run_count}")
    except ObjectNotFound:
        raise BadSettings(f"no deployment {name} at PREFECT_API_URL; `longwriter deploy` registers it") from None
    return cast(FlowRun, run)


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
