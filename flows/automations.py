"""Prefect automations for failed runs: mark runs without heartbeats as crashed, restart a crashed run once, and send alerts.

`longwriter deploy` registers them. They can be viewed, paused and changed in the UI.
"""

from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

TAG = "longwriter"  # tag of every deployment in prefect.yaml
SIGN = "prefect.flow-run.heartbeat"
ENDS = {f"prefect.flow-run.{name}" for name in ("Completed", "Cached", "Failed", "Crashed", "Cancelled", "Paused", "Suspended")}
OURS = ResourceSpecification({"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"})
BLOCK = "longwriter-alerts"
MESSAGE = "{{ flow.name }} / {{ flow_run.name }}: {{ flow_run.state.name }}. {{ flow_run.state.message }} {{ flow_run|ui_url }}"


def wanted(*, silence: float, alerts: UUID | None) -> list[AutomationCore]:
    """All automations. `silence` is the number of seconds without a heartbeat after which a run counts as crashed.

    `alerts` is the notification block; None registers no alerts.
    """
    found = [
        _automation(
            "longwriter: no sign of life",
            "The machine or the worker of a run is gone, and nobody could say so: the run becomes Crashed.",
            EventTrigger(
                match=_run(),
                match_related=OURS,
                after={SIGN},
                expect={SIGN, *ENDS},
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=timedelta(seconds=silence),
            ),
            ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=f"no sign of life for {silence:.0f} s", force=True),
        ),
        _automation(
            "longwriter: once more",
            "A run that crashed in its first attempt is given to a worker again; DVC skips what was finished.",
            _reaction({"prefect.flow-run.Crashed"}, **{"prefect.run-count": "1"}),
            ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", message="it had crashed: once more", force=True),
        ),
    ]
    if alerts:
        found.append(
            _automation(
                "longwriter: tell",
                "Somebody is told of every run that crashed or failed.",
                _reaction({"prefect.flow-run.Crashed", "prefect.flow-run.Failed"}),
                SendNotification(block_document_id=alerts, subject="LongWriter: a run went wrong", body=MESSAGE),
            )
        )
    return found


def register(client: SyncPrefectClient, automations: list[AutomationCore]) -> list[str]:
    """Create or update automations; one line per change. An automation that was paused by hand stays paused."""
    said = []
    for automation in automations:
        found = client.read_automations_by_name(automation.name)
        if not found:
            client.create_automation(automation)
            said.append(f"automation {automation.name!r} is new")
        elif _differs(found[0], automation):
            client.update_automation(found[0].id, automation.model_copy(update={"enabled": found[0].enabled}))
            said.append(f"automation {automation.name!r} is changed")
    return said


def _differs(there: Automation, automation: AutomationCore) -> bool:
    def plain(one: AutomationCore) -> object:
        return one.model_dump(mode="json", include={"description": True, "trigger": _SHAPE, "actions": True})

    return _sorted(plain(there)) != _sorted(plain(automation))


_SHAPE = {"match", "match_related", "after", "expect", "for_each", "posture", "threshold", "within"}


def _sorted(value: object) -> object:
    """The value with all lists sorted, because sets are returned in any order."""
    if isinstance(value, dict):
        return {key: _sorted(part) for key, part in value.items()}
    if isinstance(value, list):
        return sorted((_sorted(part) for part in value), key=repr)
    return value


def alerts(client: SyncPrefectClient, url: str) -> UUID | None:
    """Create or update the notification block for this URL (which is treated as a secret); its id, or None without a URL."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    if not url:
        return None
    block = CustomWebhookNotificationBlock(
        name="longwriter", url="{{address}}", json_data={"text": "{{subject}}\n{{body}}"}, secrets={"address": url}
    )
    try:
        there = client.read_block_document_by_name(BLOCK, block.get_block_type_slug())
        if there.data.get("secrets", {}).get("address") == url:
            return UUID(str(there.id))
    except ObjectNotFound:
        pass
    return UUID(str(block.save(BLOCK, overwrite=True)))


def _run() -> ResourceSpecification:
    return ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})


def _reaction(events: set[str], **labels: str) -> EventTrigger:
    match = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*", **labels})
    return EventTrigger(match=match, match_related=OURS, expect=events, posture=Posture.Reactive, threshold=1)


def _automation(name: str, description: str, trigger: EventTrigger, action: ActionTypes) -> AutomationCore:
    return AutomationCore(name=name, description=description, trigger=trigger, actions=[action])
