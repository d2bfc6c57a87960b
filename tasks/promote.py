"""promote: register the checkpoint as a model version, and decide by the gate whether it becomes champion.

The last trained of student, aligned and reinforced student is registered, unless an earlier one has a higher S̄ (S_l if no answer was
scored). The stage records training and evaluation as MLflow runs, copies the checkpoint into the registry (no weights in memory, no
pickle), decides, and writes the reason on the version. A version that passes every axis becomes champion in the stage serve, once it has
been served. A version that does not pass is no error: it becomes the challenger. The stage is cheap and repeatable: the same checkpoint
and scores find their existing runs and version.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tasks import stage, store
from tasks.longbench.compare import read_side
from tasks.longbench.scorecard import read_scorecards
from tasks.schema.params import Align, Base, Pack, Promote, Reinforce, Train
from tasks.tracking import checkpoint, gate, registry, turn
from tasks.tracking.alias_moves import SINCE
from tasks.tracking.candidates import ALIGNED, REINFORCED, Checkpoints, GateCandidate, choose, decide
from tasks.tracking.champion_scores import CANDIDATE, CARD, ITEMS
from tasks.tracking.client import answering
from tasks.tracking.eval_fingerprint import UNDER, under
from tasks.tracking.recording import record_alignment, record_evaluation, record_reinforcement, record_training, score_tags

TRIES = 5  # of deciding while somebody moves the alias


def run(
    trained: Path,
    aligned: Path,
    reinforced: Path,
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
    reinforce: Reinforce,
    promote: Promote,
) -> stage.Metrics:
    cards = read_scorecards(scored / CARD)
    chosen = choose(cards, Checkpoints(trained, aligned, reinforced), scored, general, promote)
    answers = read_side(f"{scored / ITEMS}:{chosen.name}")
    tags = {CANDIDATE: chosen.name, UNDER: under(answers.answers, answers.judge), **score_tags(chosen.card, chosen.abilities)}
    with answering():
        training = record_training(trained, dataset, seed=seed, base=base, pack=pack, train=train)
        if chosen.name == ALIGNED or (chosen.name == REINFORCED and (aligned / "checkpoints" / ALIGNED).is_dir()):
            training = record_alignment(aligned, dataset, sft_run=training, seed=seed, align=align)
        if chosen.name == REINFORCED:
            training = record_reinforcement(reinforced, before=training, seed=seed, reinforce=reinforce)
        evaluation = record_evaluation(
            scored / CARD,
            scored / ITEMS,
            cards,
            checkpoint_digest=checkpoint.digest(chosen.checkpoint),
            model=chosen.name,
            texts=scored.with_name("predict") / "predictions.jsonl",
        )
        version = registry.register(chosen.checkpoint, run_id=training, tags=tags)
        with turn.alone():
            decision = _decided(version, chosen, scored, promote, training=training, evaluation=evaluation, tags=tags)
        since, identity = registry.version(version.number).tags.get(SINCE, ""), registry.identity()
    promoted = gate.Promoted(
        version=decision.version,
        alias=decision.alias,
        training_run=decision.training_run,
        registry=identity or "",
        checkpoint_digest=version.tags[registry.DIGEST],
        candidate_since=since,
    )
    store.write_json(out / "decision.json", decision)
    store.write_json(out / "promoted.json", promoted)
    print(f"the model of the gate is the {chosen.name}")
    becomes = "is challenger" if decision.alias == "challenger" else "is champion once the stage serve has served it"
    print(f"version {decision.version} {becomes}: {decision.reason}", flush=True)
    return {"version": int(decision.version), "passed": int(decision.passed), "champion": int(decision.alias == "champion")}


def _decided(
    version: registry.Version,
    chosen: GateCandidate,
    scored: Path,
    promote: Promote,
    *,
    training: str,
    evaluation: str,
    tags: Mapping[str, str],
) -> gate.Decision:
    """Decides, and writes the decision. If a person moved the alias champion in between, decides again, against the new champion."""
    for left in reversed(range(TRIES)):
        current = registry.version(version.number)
        decision = decide(current, chosen, scored, promote, training=training, evaluation=evaluation)
        try:
            registry.apply(current, decision, tags=tags)
        except registry.ChampionMoved as error:
            if not left:
                raise
            print(f"the champion changed during the decision: {error}", flush=True)
        else:
            return decision
    raise AssertionError("unreachable")


if __name__ == "__main__":
    stage.main(
        "TRAINED ALIGNED REINFORCED SCORED GENERAL DATASET OUT",
        lambda params: partial(
            run,
            seed=params.seed,
            base=params.base,
            pack=params.pack,
            train=params.train,
            align=params.align,
            reinforce=params.reinforce,
            promote=params.promote,
        ),
    )
