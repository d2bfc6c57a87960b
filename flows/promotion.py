"""Promote a model and write the report: every stage that `report` needs; with `approval` only after a person approves."""

from pathlib import Path

from dvc.repo import Repo
from prefect import flow, get_run_logger
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.settings import Settings
from pydantic import Field

from flows import stages, workspace
from flows.rollback import tracking
from tasks import store
from tasks.schema.errors import BadSettings, GateFailed
from tasks.tracking.gate import Decision

DAY = 24 * 3600  # seconds to wait for an approval
POLL = 5  # seconds between two checks for an approval


class Approval(RunInput):
    """A person's decision about a promotion."""

    approve: bool
    by: str = Field(min_length=1, description="who answers")
    note: str = Field("", description="what is to be remembered of it")


@flow(name="promotion", persist_result=False)
def promotion(push: bool = False, approval: bool = False) -> dict[str, str]:
    """Promote a model and write the report: every stage that `report` needs.

    Args:
        push: send each stage's outputs and run cache to DVC's remote, so that other machines can restore them.
        approval: show the scores and the gate's decision, and continue only if a person approves. Needs a Prefect server.
    """
    if not approval:
        return stages.run("report", push=push)
    demand_server()
    with workspace.lock():  # so that exactly the approved model is promoted
        stages.run("score", push=push)
        stages.run("evaluate_general", push=push)
        arguments = _arguments_of_promote()
        answer = ask(tracking("preview", *arguments[:5]))
        stages.run("promote", push=push)
        version = store.read_document(Path(arguments[-1]) / "decision.json", Decision).version
        get_run_logger().info(tracking("approve", version, "--by", answer.by, "--note", answer.note))
        return stages.run("report", push=push)


def demand_server() -> None:
    """Raises BadSettings without a permanent Prefect server, because an approval could not arrive."""
    if not Settings().api.url:  # new Settings, because the current ones have the embedded API's address
        raise BadSettings("PREFECT_API_URL: not set, so nobody could approve; set it to a Prefect server, or promote without approval")


def ask(page: str) -> Approval:
    """Pause until a person decides. Raises GateFailed if the person refuses or a day passes; nothing has changed then."""
    try:
        answer = pause_flow_run(wait_for_input=Approval.with_initial_data(description=page), timeout=DAY, poll_interval=POLL)
    except FlowPauseTimeout:
        problem = "no alias was changed; run again to ask for approval again"
        raise GateFailed(f"approval: nobody answered within {DAY / 3600:g} hours; {problem}") from None
    if not answer.approve:
        because = f": {' '.join(answer.note.split())}" if answer.note.strip() else ""
        raise GateFailed(f"approval: refused by {' '.join(answer.by.split())}{because}; no alias was changed")
    return answer


def _arguments_of_promote() -> list[str]:
    """The paths in the promote stage's command in dvc.yaml."""
    with Repo() as repo:
        command = next(stage.cmd for stage in repo.index.stages if getattr(stage, "name", "") == "promote")
    return str(command).partition("tasks.promote ")[2].split()
