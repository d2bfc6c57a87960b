"""probe: the student's general ability, by lm-evaluation-harness through the same endpoint as its evaluation.

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
from tasks.schema.params import Model, Probe

STUDENT = "student"


def run(checkpoints: Path, out: Path, *, probe: Probe, candidate_model: Model) -> stage.Metrics:
    result = stage.run_async(_measured(checkpoints / STUDENT, probe, candidate_model)) if probe.tasks else None
    scores = {score.task: score.value for score in result.scores} if result else {}
    store.write_json(out / "general.json", scores)
    store.write_json(out / "harness.json", result or {})
    return {"tasks": len(scores), **scores}


async def _measured(checkpoint: Path, probe: Probe, model: Model) -> Result:
    check(probe.tasks)
    if not checkpoint.is_dir():
        raise BadInput(checkpoint, "no such checkpoint", mend="run train again")
    async with endpoint_of("candidate", model, checkpoint=checkpoint) as there:
        return await measure(probe, there, checkpoint=checkpoint)


if __name__ == "__main__":
    stage.main(run)
