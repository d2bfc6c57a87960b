"""The aliases after a promotion and after a rollback: pure functions of the current aliases and tags.

A version that passed the gate waits, with two tags, until the stage serve has served it. Only then does the alias champion move.
Every champion has the tag `champion_before`, the version that it replaced, so that rollbacks can go back step by step. Aliases move in the
order in which they are listed. If the process is killed in between, the champion is either the old or the new version, and the next run
of the stage serve completes the move.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from tasks.tracking.client import Aliases

BEFORE, PROMOTED, FALLEN, RESTORED = "champion_before", "promoted", "rolled_back", "restored"  # tags of versions
SINCE, AGAINST = "candidate_since", "candidate_against"  # tags of a version that waits: the time, and the champion then (empty: none)


class Rollback(NamedTuple):
    """A rollback: the version that lost the alias, the new champion (None: none), and the champion after one more rollback."""

    fallen: str
    champion: str | None
    previous: str | None


def now() -> str:
    """The current time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def champion_tags(before: str | None) -> dict[str, str | None]:
    """Returns the tags of a version that becomes champion. `before` is the version that it replaces."""
    return {PROMOTED: now(), BEFORE: before}


def waiting_tags(tags: Mapping[str, str], champion: str | None) -> dict[str, str | None]:
    """Returns the tags of a version that passed the gate against `champion`. One that already waits keeps its time."""
    against = champion or ""
    return {SINCE: tags[SINCE] if SINCE in tags and tags.get(AGAINST) == against else now(), AGAINST: against}


def waits(tags: Mapping[str, str], champion: str | None) -> bool:
    """Whether a version with these tags passed the gate against the current champion, and has not been served since."""
    return SINCE in tags and tags.get(AGAINST) == (champion or "") and FALLEN not in tags


def after(version: str, before: str | None, held: Mapping[str, str], aliases: Aliases) -> dict[str, str | None]:
    """Returns the aliases with `version` as champion (None: removed). It is no longer challenger; `before` becomes `previous`."""
    challenger = held.get(aliases.challenger)
    return {
        aliases.previous: before or held.get(aliases.previous),
        aliases.champion: version,
        aliases.challenger: None if challenger == version else challenger,
    }


def plan_rollback(held: Mapping[str, str], aliases: Aliases, before: Callable[[str], str | None]) -> Rollback | None:
    """Returns what a rollback does now; None without a champion. `before` returns the version that a champion replaced."""
    fallen = held.get(aliases.champion)
    if fallen is None:
        return None
    champion = held.get(aliases.previous)
    if champion in (None, fallen):
        champion = before(fallen)
    if champion in (None, fallen):
        return Rollback(fallen, None, None)
    further = before(str(champion))
    return Rollback(fallen, champion, None if further in (fallen, champion) else further)  # two versions may have replaced each other


def after_rollback(rollback: Rollback, aliases: Aliases) -> dict[str, str | None]:
    """Returns the aliases after a rollback. The version that was rolled back becomes challenger."""
    return {aliases.challenger: rollback.fallen, aliases.champion: rollback.champion, aliases.previous: rollback.previous}
