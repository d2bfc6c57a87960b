"""The way back: the champion falls, and the version whose place it had taken reigns again."""

from collections.abc import Mapping

from tasks.schema.errors import BadInput
from tasks.tracking import alias_moves, registry
from tasks.tracking.alias_moves import BEFORE, FALLEN, RESTORED, Rollback
from tasks.tracking.client import connect, names
from tasks.tracking.transaction import Changes


def roll_back(reason: str, *, to_nobody: bool = False, tags: Mapping[str, str] | None = None) -> Rollback:
    """Move the aliases one champion back, all or nothing; why and when stand on both versions, `tags` on the fallen one.

    The fallen version is the challenger and stays out of the gate until it is allowed in again. Raises BadInput if there is no champion,
    or no champion before it; with `to_nobody` there is none then. EndpointError where MLflow fails, with everything as it was.
    """
    held, aliases = registry.holders(), names().aliases
    found = alias_moves.plan_rollback(held, aliases, lambda number: registry.version(number).tags.get(BEFORE))
    where = registry.address(aliases.champion)
    if found is None:
        raise BadInput(where, "there is no champion, so there is nothing to roll back", fix="run the stage promote: `longwriter run`")
    if found.champion is None and not to_nobody:
        raise BadInput(where, f"there is no champion before version {found.fallen}", fix="promote another version first")
    why = " ".join(f"{alias_moves.now()}: {reason or 'no reason given'}".split())
    with Changes(connect(), names().model) as changes:
        changes.tags(found.fallen, {FALLEN: why, **(tags or {})})
        _describe(changes, found.fallen, f"challenger: rolled back {why}")
        if found.champion is not None:
            changes.tags(found.champion, {RESTORED: f"after version {found.fallen}, {why}"})
            _describe(changes, found.champion, f"champion: reigns again after version {found.fallen} was rolled back {why}")
        changes.aliases(alias_moves.after_rollback(found, aliases))
    return found


def allow(number: str) -> bool:
    """Let a version that was rolled back be promoted again; False if it was not. Raises BadInput if there is no such version."""
    blocked = FALLEN in registry.version(number).tags
    with Changes(connect(), names().model) as changes:
        changes.tags(number, {FALLEN: None})
    return blocked


def tag(number: str, tags: Mapping[str, str | None]) -> None:
    """Tags of one version, all or none; None removes one. Raises BadInput if there is no such version; EndpointError."""
    registry.version(number)
    with Changes(connect(), names().model) as changes:
        changes.tags(number, tags)


def _describe(changes: Changes, number: str, text: str) -> None:
    """The newest first; what the gate said stays."""
    before = connect().get_model_version(names().model, number).description or ""
    changes.describe(number, f"{text}\n\n{before}".strip())
