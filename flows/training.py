"""A dataset to the student and its control: every stage that `train` needs; an unchanged dataset is `Cached`."""

from prefect import flow

from flows import stages


@flow(name="training", persist_result=False)
def training(push: bool = False) -> dict[str, str]:
    """A dataset to the student and its control: every stage that `train` needs; an unchanged dataset is `Cached`.

    Args:
        push: send what each stage made to DVC's remote, run cache included, so that other machines restore it.
    """
    return stages.run("train", push=push)
