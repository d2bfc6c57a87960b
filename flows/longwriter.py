"""The whole pipeline: every stage of dvc.yaml, in order."""

from prefect import flow

from flows import stages


@flow(name="longwriter", persist_result=False)
def longwriter(push: bool = False, elsewhere: bool = False) -> dict[str, str]:
    """The whole pipeline: every stage of dvc.yaml, in order.

    Args:
        push: send each stage's outputs and run cache to DVC's remote, so that other machines can restore them.
        elsewhere: run stages that have a work pool in dvc.yaml, such as training, on that pool's workers. Needs push.
    """
    return stages.run(push=push, elsewhere=elsewhere)
