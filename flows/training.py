"""Train the student and its control: every stage that `train` needs. An unchanged dataset is `Cached`."""

from prefect import flow

from flows import stages


@flow(name="training", persist_result=False)
def training(push: bool = False) -> dict[str, str]:
    """Train the student and its control: every stage that `train` needs. An unchanged dataset is `Cached`.

    Args:
        push: send each stage's outputs and run cache to DVC's remote, so that other machines can restore them.
    """
    return stages.run("train", push=push)
