"""Scores to a model version, its alias and the report: every stage that `report` needs."""

from prefect import flow

from flows import stages, terminal


@flow(name="promotion", persist_result=False)
def promotion(push: bool = False) -> dict[str, str]:
    """Scores to a model version, its alias and the report: every stage that `report` needs.

    Args:
        push: send what each stage made to DVC's remote, run cache included, so that other machines restore it.
    """
    return stages.run("report", push=push)


if __name__ == "__main__":
    terminal.main(promotion)
