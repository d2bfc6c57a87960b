"""promote: the checkpoint becomes a model version, and the alias champion moves to it if every axis of the gate holds.

Records the training and the evaluation as MLflow runs, copies the checkpoint into the registry (no weights in memory,
no pickle), decides, and writes the reason on the version. Losing is a result, not an error: the version is then the
challenger. Cheap, and repeatable: the same checkpoint and scores find their runs and their version again.
"""

from pathlib import Path

from tasks import stage, store
from tasks.longbench.summary import read_scorecards
from tasks.schema.params import Base, Pack, Promote, Train
from tasks.tracking import gate, registry
from tasks.tracking.recording import record_evaluation, record_training, score_tags


def run(
    trained: Path, scorecard: Path, dataset: Path, out: Path, *, seed: int, base: Base, pack: Pack, train: Train, promote: Promote
) -> stage.Metrics:
    scores, checkpoint = read_scorecards(scorecard), trained / "checkpoints" / "student"
    training = record_training(trained, dataset, seed=seed, base=base, pack=pack, train=train)
    evaluation = record_evaluation(scorecard, scores, checkpoint=checkpoint)
    version = registry.register(checkpoint, run_id=training, tags=score_tags(scores["student"]))
    decision = gate.decide(
        scores["student"], version.number, registry.reigning(), promote=promote, training_run=training, evaluation_run=evaluation
    )
    registry.apply(version, decision, tags=score_tags(scores["student"]))
    store.write_json(out / "decision.json", decision)
    print(f"version {decision.version} is {decision.alias}: {decision.reason}", flush=True)
    return {"version": int(decision.version), "passed": int(decision.passed), "champion": int(decision.alias == "champion")}


if __name__ == "__main__":
    stage.main(run)
