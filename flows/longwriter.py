"""The whole pipeline: every stage of dvc.yaml, in order."""

from prefect import flow

from flows import stages


@flow(name="longwriter", persist_result=False)
def longwriter(push: bool = False, elsewhere: bool = False) -> dict[str, str]:
    """The whole pipeline: every stage of dvc.yaml, in order.

    Args:
        push: send what each stage made to DVC's remote, run cache included, so that other machines restore it.
        elsewhere: run stages that dvc.yaml gives to a work pool, such as training, on that pool's workers. Needs push.
    """
    return stages.run(push=push, elsewhere=elsewhere)
