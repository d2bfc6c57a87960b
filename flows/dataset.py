"""Raw chats to a dataset that has passed its contract: every stage that `validate_dataset` needs."""

from prefect import flow

from flows import stages


@flow(name="dataset", persist_result=False)
def dataset(push: bool = False) -> dict[str, str]:
    """Raw chats to a dataset that has passed its contract: every stage that `validate_dataset` needs.

    Args:
        push: send what each stage made to DVC's remote, run cache included, so that other machines restore it.
    """
    return stages.run("validate_dataset", push=push)
