"""Evaluate the checkpoints: every stage that `score` needs, and general ability if the gate has floors for it."""

from prefect import flow

from flows import stages
from tasks.schema.params import load


@flow(name="evaluation", persist_result=False)
def evaluation(push: bool = False) -> dict[str, str]:
    """Evaluate the checkpoints on the benchmark: every stage that `score` needs. An unchanged checkpoint is `Cached`.

    Floors in promote.min_general need the stage evaluate_general too.

    Args:
        push: send each stage's outputs and run cache to DVC's remote, so that other machines can restore them.
    """
    states = stages.run("score", push=push)
    return states | (stages.run("evaluate_general", push=push) if load().promote.min_general else {})
