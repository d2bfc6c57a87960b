"""Rollback: the champion loses its alias, and the version that it replaced becomes champion again."""

from collections.abc import Mapping

from tasks.schema.errors import BadInput
from tasks.tracking import alias_moves, registry, turn
from tasks.tracking.alias_moves import AGAINST, BEFORE, FALLEN, RESTORED, SINCE, Rollback
from tasks.tracking.client import connect, names
from tasks.tracking.transaction import Changes

LOOK_FIRST = "`longwriter models list` says who is champion: roll back again only if it is still the same version"


def roll_back(reason: str, *, to_nobody: bool = False, tags: Mapping[str, str] | None = None) -> Rollback:
    """Moves the aliases back by one champion, all or nothing. Both versions get the reason and time; the one rolled back also gets `tags`.

    The version that was rolled back becomes challenger and is blocked until it is allowed again. Raises BadInput without a champion, or
    without a predecessor that still has its files (with `to_nobody` there is no champion then). Raises EndpointError if MLflow fails,
    with everything restored.
    """
    with turn.alone():
        return _rolled_back(reason, to_nobody=to_nobody, tags=tags or {})


def refuse(number: str, reason: str, *, tags: Mapping[str, str]) -> Rollback | None:
    """A version that passed the gate could not be served: it becomes challenger, with `tags`, and is blocked until it is allowed again.

    If it is champion already, it is rolled back, if need be to no champion; returns that rollback. Raises EndpointError if MLflow fails,
    with everything restored.
    """
    with turn.alone():
        aliases = names().aliases
        if registry.holders().get(aliases.champion) == number:
            return _rolled_back(reason, to_nobody=True, tags=tags)
        why = _why(reason)
        with Changes(connect(), names().model) as changes:
            changes.tags(number, {FALLEN: why, SINCE: None, AGAINST: None, **tags})
            _describe(changes, number, f"challenger: refused {why}")
            changes.aliases({aliases.challenger: number})
    return None


def _rolled_back(reason: str, *, to_nobody: bool, tags: Mapping[str, str]) -> Rollback:
    held, aliases = registry.holders(), names().aliases
    found = alias_moves.plan_rollback(held, aliases, lambda number: registry.version(number).tags.get(BEFORE))
    where = registry.address(aliases.champion)
    if found is None:
        raise BadInput(where, "there is no champion, so there is nothing to roll back", fix="run the promote stage: `longwriter run`")
    if found.champion is None and not to_nobody:
        raise BadInput(where, f"there is no champion before version {found.fallen}", fix="promote another version first")
    if found.champion is not None and (problem := registry.files_missing(found.champion)):
        if not to_nobody:
            fix = "put its files back into MLflow's artifact store, or promote another version"
            raise BadInput(where, f"version {found.champion} cannot be champion again: {problem}", fix=fix)
        found = found._replace(champion=None, previous=None)
    why = _why(reason)
    with Changes(connect(), names().model, advice=LOOK_FIRST) as changes:
        changes.tags(found.fallen, {FALLEN: why, AGAINST: None, **tags})
        _describe(changes, found.fallen, f"challenger: rolled back {why}")
        if found.champion is not None:
            changes.tags(found.champion, {RESTORED: f"after version {found.fallen}, {why}"})
            _describe(changes, found.champion, f"champion again after version {found.fallen} was rolled back {why}")
        changes.aliases(alias_moves.after_rollback(found, aliases))
    return found


def _why(reason: str) -> str:
    return " ".join(f"{alias_moves.now()}: {reason or 'no reason given'}".split())


def allow(number: str) -> bool:
    """Allows the promotion of a version that is blocked; returns False if it is not. Raises BadInput if there is no such version."""
    blocked = FALLEN in registry.version(number).tags
    with Changes(connect(), names().model) as changes:
        changes.tags(number, {FALLEN: None})
    return blocked


def tag(number: str, tags: Mapping[str, str | None]) -> None:
    """Sets tags of one version, all or none; None removes a tag. Raises BadInput if there is no such version, EndpointError if MLflow
    fails.
    """
    registry.version(number)
    with Changes(connect(), names().model) as changes:
        changes.tags(number, tags)


def _describe(changes: Changes, number: str, text: str) -> None:
    """Puts new text before the description; the gate's text stays."""
    before = connect().get_model_version(names().model, number).description or ""
    changes.describe(number, f"{text}\n\n{before}".strip())
