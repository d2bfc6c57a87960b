"""A checkpoint to its scores on the benchmark: every stage that `score` needs; an unchanged checkpoint is `Cached`."""

from prefect import flow

from flows import stages


@flow(name="evaluation", persist_result=False)
def evaluation(push: bool = False) -> dict[str, str]:
    """A checkpoint to its scores on the benchmark: every stage that `score` needs; an unchanged checkpoint is `Cached`.

    Args:
        push: send what each stage made to DVC's remote, run cache included, so that other machines restore it.
    """
    return stages.run("score", push=push)
