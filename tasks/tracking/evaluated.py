"""Replaces the evaluation of a registered version by a later one, so that new candidate models can be compared with it."""

import tempfile
from pathlib import Path

from tasks import store
from tasks.longbench.compare import read_side
from tasks.longbench.scorecard import Scorecards, read_scorecards
from tasks.schema.errors import BadInput
from tasks.schema.records import Evaluation
from tasks.tracking import registry, rollback, unevaluated
from tasks.tracking.champion_scores import CARD, ITEMS, model_of
from tasks.tracking.client import names
from tasks.tracking.recording import record_evaluation, score_tags


def hand_in(number: str, evaluation: Path) -> str:
    """Records the evaluation and returns the id of its run, with which the version is compared from now on.

    Raises BadInput if the folder has no evaluation of this version's checkpoint, or has several models.
    """
    version = registry.version(number)
    _of_this(registry.fetch(f"models:/{names().model}/{number}"), evaluation / "evaluation.json")
    cards = read_scorecards(evaluation / CARD)
    if len(cards) != 1:
        raise BadInput(evaluation / CARD, f"scorecards of {len(cards)} models", fix="evaluate the version alone")
    ((model, card),), name = cards.items(), model_of(version)
    side = read_side(f"{evaluation / ITEMS}:{model}")
    with tempfile.TemporaryDirectory() as scratch:
        card_file, items = Path(scratch) / CARD, Path(scratch) / ITEMS
        store.write(items, (item.model_copy(update={"model": name}) for item in side.answers))
        store.write_json(card_file, Scorecards({name: card}))
        run_id = record_evaluation(
            card_file,
            items,
            {name: card},
            checkpoint_digest=version.tags[registry.DIGEST],
            model=name,
            texts=evaluation / "predictions.jsonl",
        )
    rollback.tag(number, {**score_tags(card, {}), "evaluation_run": run_id, **unevaluated.over(side)})
    return run_id


def _of_this(checkpoint: Path, path: Path) -> None:
    """Raises BadInput if the answers are not from this checkpoint."""
    if store.read_document(path, Evaluation).decoding.checkpoint != store.folder_digest(checkpoint):
        problem, fix = "the evaluation of another checkpoint", "evaluate models:/NAME/VERSION by the registry's address"
        raise BadInput(path, problem, field="decoding.checkpoint", fix=fix)
