"""Evaluate the checkpoints on the benchmark: every stage that `score` needs. An unchanged checkpoint is `Cached`."""

from prefect import flow

from flows import stages


@flow(name="evaluation", persist_result=False)
def evaluation(push: bool = False) -> dict[str, str]:
    """Evaluate the checkpoints on the benchmark: every stage that `score` needs. An unchanged checkpoint is `Cached`.

    Args:
        push: send each stage's outputs and run cache to DVC's remote, so that other machines can restore them.
    """
    return stages.run("score", push=push)
