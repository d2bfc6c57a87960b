"""Who holds which alias after a promotion and after a rollback: pure functions over what is held now.

Every champion has the tag `champion_before`, the version that it took the place of, so that the way back can be walked. The order in
which the aliases are listed is the order in which they move: killed in between, the champion is the old one or the new one, and
promoting again completes the rest.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from tasks.tracking.client import Aliases
from tasks.tracking.gate import Decision

BEFORE, PROMOTED, FALLEN, RESTORED = "champion_before", "promoted", "rolled_back", "restored"  # tags of versions


class Rollback(NamedTuple):
    """A rollback: who fell, who reigns instead (None: nobody), and whom the next one would bring back."""

    fallen: str
    champion: str | None
    previous: str | None


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def champion_tags(before: str | None) -> dict[str, str | None]:
    """The tags of a version that becomes champion."""
    return {PROMOTED: now(), BEFORE: before}


def after(decision: Decision, held: Mapping[str, str], aliases: Aliases) -> dict[str, str | None]:
    """A loser is the challenger. A winner is champion, no challenger any more, and the champion before it is `previous`."""
    version, challenger = decision.version, held.get(aliases.challenger)
    if decision.alias == "challenger":
        return {aliases.challenger: version}
    return {
        aliases.challenger: None if challenger == version else challenger,
        aliases.champion: version,
        aliases.previous: decision.champion_before or held.get(aliases.previous),
    }


def plan_rollback(held: Mapping[str, str], aliases: Aliases, before: Callable[[str], str | None]) -> Rollback | None:
    """What a rollback does now; None without a champion. `before` tells whom a version took the place of."""
    fallen = held.get(aliases.champion)
    if fallen is None:
        return None
    champion = held.get(aliases.previous)
    if champion in (None, fallen):
        champion = before(fallen)
    if champion in (None, fallen):
        return Rollback(fallen, None, None)
    further = before(str(champion))
    return Rollback(fallen, champion, None if further in (fallen, champion) else further)  # two may have taken each other's place


def after_rollback(rollback: Rollback, aliases: Aliases) -> dict[str, str | None]:
    """The fallen one is the challenger."""
    return {aliases.challenger: rollback.fallen, aliases.champion: rollback.champion, aliases.previous: rollback.previous}
