"""Run one stage on this worker's machine, for a flow on another machine (flows/handover.py)."""

from prefect import flow

from flows import checkout, stages
from flows.parameters import CommitHash, StageName
from tasks.schema.errors import BadSettings


@flow(name="stage", flow_run_name="{name}", persist_result=False)
def stage(name: StageName, commit: CommitHash = "", push: bool = True) -> dict[str, str]:
    """Run one stage of dvc.yaml on this worker's machine. Earlier stages are restored from DVC's remote, or run if it lacks them.

    Args:
        name: the stage, as `dvc stage list` calls it.
        commit: full hash of the commit with code and params; empty for the workspace's current state.
        push: send each stage's outputs and run cache to DVC's remote, so that other machines can restore them.
    """
    if commit:
        try:
            checkout.at(commit)
        except checkout.CheckoutError as error:
            raise BadSettings(str(error)) from None
    return stages.run(name, push=push, alone=bool(commit))
