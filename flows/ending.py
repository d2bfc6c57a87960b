"""Say why a run was stopped: by whom, and what is kept. Prefect itself calls every signal to a task a crash."""

from collections.abc import Sequence

import httpx
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from prefect.settings import get_current_settings

KEPT = "paid replies are in the journal, a training's checkpoints in its folder; the next run goes on from there"


def why(stop: BaseException, stage: str, finished: Sequence[str]) -> str:
    """One line: who stopped the run in which stage, and what of it is kept."""
    stages = f"{len(finished)} stages before it are finished" if len(finished) != 1 else f"{finished[0]} is finished"
    return f"{stage}: {_who(stop)}; kept: {stages}, {KEPT}"


def _who(stop: BaseException) -> str:
    if isinstance(stop, KeyboardInterrupt):
        return "cancelled by Ctrl-C"
    return _cancelled() or f"ended by a signal to its process ({stop}), not by Prefect"


def _cancelled() -> str:
    """Who asked Prefect to cancel this run, as far as Prefect knows; empty if nobody did, or if its API does not answer."""
    if not (runtime.flow_run.id and get_current_settings().api.url):
        return ""
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(runtime.flow_run.id).state
    except (httpx.HTTPError, PrefectException, OSError):
        return ""
    if state is None or not (state.is_cancelling() or state.is_cancelled()):
        return ""
    said = f": {state.message}" if state.message else " by its page, command or API, which keep no name"
    return f"cancelled in Prefect at {state.timestamp:%H:%M:%S} UTC{said}"
