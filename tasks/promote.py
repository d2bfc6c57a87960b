"""promote: the checkpoint becomes a model version, and the alias champion moves to it if every axis of the gate holds.

Records the training and the evaluation as MLflow runs, copies the checkpoint into the registry (no weights in memory,
no pickle), decides, and writes the reason on the version. Losing is a result, not an error: the version is then the
challenger. Cheap, and repeatable: the same checkpoint and scores find their runs and their version again.
"""

from collections.abc import Mapping
from pathlib import Path

from tasks import stage, store
from tasks.longbench.compare import read_side
from tasks.longbench.scorecard import Scorecard, read_scorecards
from tasks.schema.errors import BadInput
from tasks.schema.params import Base, Pack, Promote, Share, Train
from tasks.schema.records import Record
from tasks.tracking import checkpoint, gate, registry
from tasks.tracking.client import answering
from tasks.tracking.recording import record_evaluation, record_training, score_tags
from tasks.tracking.rival import CARD, ITEMS, MODEL, contest
from tasks.tracking.succession import FALLEN


class General(Record):
    """What the stage probe measured, by task; None where a task gave no score."""

    scores: dict[str, Share | None]


def run(
    trained: Path,
    scored: Path,
    general: Path,
    dataset: Path,
    out: Path,
    *,
    seed: int,
    base: Base,
    pack: Pack,
    train: Train,
    promote: Promote,
) -> stage.Metrics:
    card, abilities, student = _card(scored), _general(general), trained / "checkpoints" / MODEL
    cards, digest = read_scorecards(scored / CARD), checkpoint.digest(student)
    tags = score_tags(card, abilities)
    with answering():
        training = record_training(trained, dataset, seed=seed, base=base, pack=pack, train=train)
        evaluation = record_evaluation(scored / CARD, scored / ITEMS, cards, checkpoint_digest=digest)
        version = registry.register(student, run_id=training, tags=tags)
        decision = _decide(version, card, scored, abilities, promote, training=training, evaluation=evaluation)
        registry.apply(version, decision, tags=tags)
    store.write_json(out / "decision.json", decision)
    promoted = gate.Promoted(version=decision.version, alias=decision.alias, training_run=decision.training_run)
    store.write_json(out / "promoted.json", promoted)
    print(f"version {decision.version} is {decision.alias}: {decision.reason}", flush=True)
    return {"version": int(decision.version), "passed": int(decision.passed), "champion": int(decision.alias == "champion")}


def preview(trained: Path, scored: Path, general: Path, *, promote: Promote) -> tuple[Scorecard, gate.Decision]:
    """The scorecard, and what would be decided about it now. Registers nothing, records nothing, moves nothing."""
    card, abilities = _card(scored), _general(general)
    with answering():
        version = registry.find(checkpoint.digest(trained / "checkpoints" / MODEL))
        return card, _decide(version, card, scored, abilities, promote, training="", evaluation="")


def _decide(
    version: registry.Version | None,
    card: Scorecard,
    scored: Path,
    general: Mapping[str, float | None],
    promote: Promote,
    *,
    training: str,
    evaluation: str,
) -> gate.Decision:
    """What becomes of a version; None is one that is not registered yet."""
    champion = registry.rival(version)
    candidate = read_side(f"{scored / ITEMS}:{MODEL}")._replace(name="this version")
    return gate.decide(
        card,
        version.number if version else "new",
        reigns=registry.reigns(version),
        contest=contest(candidate, champion, mode=promote.mode) if champion else None,
        general=general,
        promote=promote,
        training_run=training,
        evaluation_run=evaluation,
        barred=version.tags.get(FALLEN) if version else None,
    )


def _card(scored: Path) -> Scorecard:
    cards = read_scorecards(scored / CARD)
    if MODEL not in cards:
        raise BadInput(scored / CARD, f"no scorecard of {MODEL}", field=MODEL, mend="run the stages predict to score again")
    return cards[MODEL]


def _general(path: Path) -> Mapping[str, float | None]:
    """Scores from 0 to 1 by task. Raises BadInput that names the task whose score is none."""
    return store.parse({"scores": store.read_json(path)}, General, path=path, line=None).scores


if __name__ == "__main__":
    stage.main(run)
