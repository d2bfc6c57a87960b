"""`longwriter deploy`: register prefect.yaml and flows/automations.py at PREFECT_API_URL, and print each change.

Running it again changes nothing. Schedules and automations that were paused in the UI stay paused.
"""

import subprocess
import sys

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from flows import automations
from tasks.schema.errors import BadSettings, EndpointError
from tasks.schema.settings import settings

LIMITS = {"cpu": None, "gpu": 1}  # concurrent runs of a work pool
PASSING = {"created", "updated", "last_polled", "status", "created_by", "updated_by", "id", "deployment_id", "flow_id", "version_id"}


def deploy(*, silence: float) -> list[str]:
    """Register everything; one line per change. `silence` is in seconds (flows/automations.py).

    Raises BadSettings without a server, EndpointError with Prefect's own line if it refuses.
    """
    if not get_current_settings().api.url:
        raise BadSettings("PREFECT_API_URL: not set; set it to the Prefect server that is to run the deployments")
    with get_client(sync_client=True) as client:
        said = [line for name, limit in LIMITS.items() for line in _pool(client, name, limit)]
        before = _deployments(client)
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            raise EndpointError(f"prefect deploy: {' '.join((lines or ['ended without any output'])[-1].split())}")
        after = _deployments(client)
        said += [f"deployment {name} is {'changed' if name in before else 'new'}" for name in after if after[name] != before.get(name)]
        block = automations.alerts(client, settings().alert_url.get_secret_value())
        said += automations.register(client, automations.wanted(silence=silence, alerts=block))
    if block is None:
        said.append("nobody is told of crashed and failed runs: LONGWRITER_ALERT_URL is not set")
    return said


def _pool(client: SyncPrefectClient, name: str, limit: int | None) -> list[str]:
    try:
        there = client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process", concurrency_limit=limit))
        return [f"work pool {name} is new"]
    if there.concurrency_limit == limit or limit is None:
        return []
    client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))
    return [f"work pool {name} runs {limit} at a time now"]


def _deployments(client: SyncPrefectClient) -> dict[str, object]:
    """{FLOW/NAME: deployment}, without fields that change by themselves."""
    flows = {flow.id: flow.name for flow in client.read_flows()}
    return {f"{flows[one.flow_id]}/{one.name}": _plain(one.model_dump(mode="json")) for one in client.read_deployments()}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if key not in PASSING}
    return [_plain(part) for part in value] if isinstance(value, list) else value
