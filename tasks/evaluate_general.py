"""evaluate_general: measure the general ability of the trained students with lm-evaluation-harness, over the candidate's endpoint.

A model that learned long writing but lost its general ability must not be promoted, so the gate has a floor for each task
(promote.min_general). A question that the endpoint refuses is counted, named in harness.json, and in no score. The cost is questions ×
their answer options. Without tasks in params nothing is served or measured.
"""

from functools import partial
from pathlib import Path

from tasks import stage, store
from tasks.endpoints.roles import endpoint_of
from tasks.harness.job import Measurement
from tasks.harness.measure import check, measure
from tasks.schema.errors import BadInput
from tasks.schema.params import EvaluateGeneral, Model
from tasks.schema.records import Abilities, ByName

STUDENT, ALIGNED, REINFORCED = "student", "aligned", "reinforced"


def run(
    trained: Path, aligned: Path, reinforced: Path, out: Path, *, evaluate_general: EvaluateGeneral, candidate_model: Model
) -> stage.Metrics:
    further = [folder for folder in (aligned / ALIGNED, reinforced / REINFORCED) if folder.is_dir()]
    folders = [trained / STUDENT, *further] if evaluate_general.tasks else []
    results = {folder.name: stage.run_async(_measured(folder, evaluate_general, candidate_model)) for folder in folders}
    scores = {name: {score.task: score.value for score in result.scores} for name, result in results.items()}
    store.write_json(out / "general.json", Abilities(scores))
    store.write_json(out / "harness.json", ByName[Measurement](results))
    refused = {name: sum(len(score.refused) for score in result.scores) for name, result in results.items()}
    return {
        "tasks": len(evaluate_general.tasks),
        **{f"{name}_{task}": value for name, found in scores.items() for task, value in found.items()},
        **{f"{name}_refused": number for name, number in refused.items() if number},
    }


async def _measured(checkpoint: Path, evaluate_general: EvaluateGeneral, model: Model) -> Measurement:
    check(evaluate_general.tasks)
    if not checkpoint.is_dir():
        raise BadInput(checkpoint, "no such checkpoint", fix="run the train stage again")
    async with endpoint_of("candidate", model, checkpoint=checkpoint) as there:
        return await measure(evaluate_general, there, checkpoint=checkpoint)


if __name__ == "__main__":
    stage.main(
        "TRAINED ALIGNED REINFORCED OUT",
        lambda params: partial(run, evaluate_general=params.evaluate_general, candidate_model=params.models.candidate),
    )
