"""promote: register the checkpoint as a model version, and move the alias champion to it if it passes every axis of the gate.

The aligned student is registered, unless its S̄ (S_l if no answer was scored) is below the student's; then the student is. The stage
records training and evaluation as MLflow runs, copies the checkpoint into the registry (no weights in memory, no pickle), decides, and
writes the reason on the version. A version that does not pass is no error: it becomes the challenger. The stage is cheap and repeatable:
the same checkpoint and scores find their existing runs and version.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tasks import stage, store
from tasks.longbench.compare import read_side
from tasks.longbench.samples import Mode
from tasks.longbench.scorecard import Scorecard, read_scorecards
from tasks.schema.errors import BadInput
from tasks.schema.params import Align, Base, Pack, Promote, Train
from tasks.schema.records import Abilities
from tasks.tracking import checkpoint, gate, registry
from tasks.tracking.alias_moves import FALLEN
from tasks.tracking.champion_scores import CANDIDATE, CARD, ITEMS, contest
from tasks.tracking.client import answering
from tasks.tracking.eval_fingerprint import UNDER, under
from tasks.tracking.recording import record_alignment, record_evaluation, record_training, score_tags

STUDENT, ALIGNED = "student", "aligned"


class Candidate(NamedTuple):
    """The candidate model that the gate decides about."""

    name: str
    checkpoint: Path
    card: Scorecard
    abilities: Mapping[str, float | None]


def run(
    trained: Path,
    aligned: Path,
    scored: Path,
    general: Path,
    dataset: Path,
    out: Path,
    *,
    seed: int,
    base: Base,
    pack: Pack,
    train: Train,
    align: Align,
    promote: Promote,
) -> stage.Metrics:
    cards = read_scorecards(scored / CARD)
    chosen = _chosen(cards, trained, aligned, scored, general, promote)
    answers = read_side(f"{scored / ITEMS}:{chosen.name}")
    tags = {CANDIDATE: chosen.name, UNDER: under(answers.answers, answers.judge), **score_tags(chosen.card, chosen.abilities)}
    with answering():
        training = record_training(trained, dataset, seed=seed, base=base, pack=pack, train=train)
        if chosen.name == ALIGNED:
            training = record_alignment(aligned, dataset, sft_run=training, seed=seed, align=align)
        evaluation = record_evaluation(scored / CARD, scored / ITEMS, cards, checkpoint_digest=checkpoint.digest(chosen.checkpoint))
        version = registry.register(chosen.checkpoint, run_id=training, tags=tags)
        decision = _decide(version, chosen, scored, promote, training=training, evaluation=evaluation)
        registry.apply(version, decision, tags=tags)
    store.write_json(out / "decision.json", decision)
    promoted = gate.Promoted(version=decision.version, alias=decision.alias, training_run=decision.training_run)
    store.write_json(out / "promoted.json", promoted)
    print(f"the model of the gate is the {chosen.name}")
    print(f"version {decision.version} is {decision.alias}: {decision.reason}", flush=True)
    return {"version": int(decision.version), "passed": int(decision.passed), "champion": int(decision.alias == "champion")}


def preview(trained: Path, aligned: Path, scored: Path, general: Path, *, promote: Promote) -> tuple[Scorecard, gate.Decision]:
    """The scorecard, and the gate's current decision about it. Registers, records and moves nothing."""
    chosen = _chosen(read_scorecards(scored / CARD), trained, aligned, scored, general, promote)
    with answering():
        version = registry.find(checkpoint.digest(chosen.checkpoint))
        return chosen.card, _decide(version, chosen, scored, promote, training="", evaluation="")


def _chosen(cards: Mapping[str, Scorecard], trained: Path, aligned: Path, scored: Path, general: Path, promote: Promote) -> Candidate:
    """The aligned student; the student if there is no aligned one or if its S̄ is higher. Raises BadInput without a student's scorecard."""
    if STUDENT not in cards:
        raise BadInput(scored / CARD, f"no scorecard of {STUDENT}", field=STUDENT, fix="run the stages from predict to score again")
    name = STUDENT
    if ALIGNED in cards and _points(cards[ALIGNED], promote.mode) >= _points(cards[STUDENT], promote.mode):
        name = ALIGNED
    checkpoints = {STUDENT: trained / "checkpoints" / STUDENT, ALIGNED: aligned / "checkpoints" / ALIGNED}
    return Candidate(name, checkpoints[name], cards[name], _general(general).get(name, {}))


def _points(card: Scorecard, mode: Mode) -> float:
    """S̄ in the gate's mode; S_l if no answer was scored."""
    scores = card if mode == "paper" or card.fixed is None else card.fixed
    return scores.s_l if scores.s_bar is None else scores.s_bar


def _decide(
    version: registry.Version | None,
    chosen: Candidate,
    scored: Path,
    promote: Promote,
    *,
    training: str,
    evaluation: str,
) -> gate.Decision:
    """The gate's decision about a version; None is a version that is not registered yet."""
    champion = registry.champion_for(version)
    candidate = read_side(f"{scored / ITEMS}:{chosen.name}")._replace(name="this version")
    return gate.decide(
        chosen.card,
        version.number if version else "new",
        model=chosen.name,
        is_champion=registry.is_champion(version),
        contest=contest(candidate, champion, mode=promote.mode) if champion else None,
        general=chosen.abilities,
        promote=promote,
        training_run=training,
        evaluation_run=evaluation,
        blocked=version.tags.get(FALLEN) if version else None,
    )


def _general(path: Path) -> Mapping[str, Mapping[str, float | None]]:
    """Scores (0 to 1) by candidate and task. Raises BadInput with the field that is not valid."""
    return store.read_document(path, Abilities).root


if __name__ == "__main__":
    stage.main(run)
