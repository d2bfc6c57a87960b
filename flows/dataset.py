"""Build the dataset from raw chats and check its contract: every stage that `validate_dataset` needs."""

from prefect import flow

from flows import stages


@flow(name="dataset", persist_result=False)
def dataset(push: bool = False) -> dict[str, str]:
    """Build the dataset from raw chats and check its contract: every stage that `validate_dataset` needs.

    Args:
        push: send each stage's outputs and run cache to DVC's remote, so that other machines can restore them.
    """
    return stages.run("validate_dataset", push=push)
