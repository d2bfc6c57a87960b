"""Which of student, aligned and reinforced student goes to the gate, and what the gate decides about it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.longbench.compare import read_side
from tasks.longbench.samples import Mode
from tasks.longbench.scorecard import Scorecard, read_scorecards
from tasks.schema.errors import BadInput
from tasks.schema.params import Promote
from tasks.schema.records import Abilities
from tasks.tracking import checkpoint, gate, registry
from tasks.tracking.alias_moves import FALLEN
from tasks.tracking.champion_scores import CARD, ITEMS, contest
from tasks.tracking.client import answering, names

STUDENT, ALIGNED, REINFORCED = "student", "aligned", "reinforced"


class Checkpoints(NamedTuple):
    """The folders of the stages that train. A stage that is off made no checkpoint."""

    trained: Path
    aligned: Path
    reinforced: Path

    def of(self, name: str) -> Path:
        """The checkpoint of a candidate model."""
        return {STUDENT: self.trained, ALIGNED: self.aligned, REINFORCED: self.reinforced}[name] / "checkpoints" / name


class GateCandidate(NamedTuple):
    """The candidate model that the gate decides about."""

    name: str
    checkpoint: Path
    card: Scorecard
    abilities: Mapping[str, float | None]


def preview(checkpoints: Checkpoints, scored: Path, general: Path, *, promote: Promote) -> tuple[Scorecard, gate.Decision]:
    """The scorecard, and the gate's current decision about it. Registers, records and moves nothing."""
    chosen = choose(read_scorecards(scored / CARD), checkpoints, scored, general, promote)
    with answering():
        version = registry.find(checkpoint.digest(chosen.checkpoint))
        return chosen.card, decide(version, chosen, scored, promote, training="", evaluation="")


def choose(cards: Mapping[str, Scorecard], checkpoints: Checkpoints, scored: Path, general: Path, promote: Promote) -> GateCandidate:
    """The candidate with the highest S̄ among student, aligned and reinforced student; among equals the one that was trained last.

    Raises BadInput without a student's scorecard.
    """
    if STUDENT not in cards:
        raise BadInput(scored / CARD, f"no scorecard of {STUDENT}", field=STUDENT, fix="run the stages from predict to score again")
    there = [name for name in (REINFORCED, ALIGNED, STUDENT) if name in cards]  # of equals, max returns the first
    name = max(there, key=lambda name: _points(cards[name], promote.mode))
    return GateCandidate(name, checkpoints.of(name), cards[name], _general(general).get(name, {}))


def _points(card: Scorecard, mode: Mode) -> float:
    """S̄ in the gate's mode; S_l if no answer was scored."""
    scores = card if mode == "paper" or card.fixed is None else card.fixed
    return scores.s_l if scores.s_bar is None else scores.s_bar


def decide(
    version: registry.Version | None,
    chosen: GateCandidate,
    scored: Path,
    promote: Promote,
    *,
    training: str,
    evaluation: str,
) -> gate.Decision:
    """The gate's decision about a version; None is a version that is not registered yet."""
    number = registry.holders().get(names().aliases.champion)
    champion = registry.champion_for(version, number)
    candidate = read_side(f"{scored / ITEMS}:{chosen.name}")._replace(name="this version")
    return gate.decide(
        chosen.card,
        version.number if version else "new",
        model=chosen.name,
        is_champion=version is not None and version.number == number,
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
