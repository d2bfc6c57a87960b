"""evaluate_general: general ability of student and aligned student, by lm-evaluation-harness on the endpoint of their evaluation.

A model that learned to write long and forgot everything else must not be promoted: the gate holds each task to its floor
(promote.min_general). Questions, and the answers that each is weighed against, drive the cost; without tasks in params nothing is
served and nothing measured.
"""

from pathlib import Path

from tasks import stage, store
from tasks.endpoints.roles import endpoint_of
from tasks.harness.job import Result
from tasks.harness.measure import check, measure
from tasks.schema.errors import BadInput
from tasks.schema.params import EvaluateGeneral, Model
from tasks.schema.records import Abilities, ByName

STUDENT, ALIGNED = "student", "aligned"


def run(trained: Path, aligned: Path, out: Path, *, evaluate_general: EvaluateGeneral, candidate_model: Model) -> stage.Metrics:
    folders = [trained / STUDENT, *(folder for folder in [aligned / ALIGNED] if folder.is_dir())] if evaluate_general.tasks else []
    results = {folder.name: stage.run_async(_measured(folder, evaluate_general, candidate_model)) for folder in folders}
    scores = {name: {score.task: score.value for score in result.scores} for name, result in results.items()}
    store.write_json(out / "general.json", Abilities(scores))
    store.write_json(out / "harness.json", ByName[Result](results))
    return {
        "tasks": len(evaluate_general.tasks),
        **{f"{name}_{task}": value for name, found in scores.items() for task, value in found.items()},
    }


async def _measured(checkpoint: Path, evaluate_general: EvaluateGeneral, model: Model) -> Result:
    check(evaluate_general.tasks)
    if not checkpoint.is_dir():
        raise BadInput(checkpoint, "no such checkpoint", fix="run the train stage again")
    async with endpoint_of("candidate", model, checkpoint=checkpoint) as there:
        return await measure(evaluate_general, there, checkpoint=checkpoint)


if __name__ == "__main__":
    stage.main(run)
