"""One stage, and whatever it needs that DVC's remote has not: what a flow on another machine hands over to this worker's pool."""

from prefect import flow

from flows import checkout, stages
from tasks.schema.errors import BadSettings


@flow(name="stage", flow_run_name="{name}", persist_result=False)
def stage(name: str, commit: str = "", push: bool = True) -> dict[str, str]:
    """One stage of dvc.yaml, on this worker's machine. What stands before it is restored from DVC's remote.

    Args:
        name: the stage, as `dvc stage list` calls it.
        commit: of the code and the params, in full; empty for what the workspace holds.
        push: send what each stage made to DVC's remote, run cache included, so that other machines restore it.
    """
    if commit:
        try:
            checkout.at(commit)
        except checkout.CheckoutError as error:
            raise BadSettings(str(error)) from None
    return stages.run(name, push=push)
