"""Finds rewards by entry point: this project's own and those of other installed distributions."""

from collections.abc import Iterable

from tasks import plugins
from tasks.rewards.interface import Reward
from tasks.schema.errors import BadInput

GROUP = "longwriter.rewards"
# As in pyproject.toml: a checkout with older installed metadata must find them too. A test compares the two.
OWN = {
    "length": "tasks.rewards.rules:LENGTH",
    "repetition": "tasks.rewards.rules:REPETITION",
    "ended": "tasks.rewards.rules:ENDED",
    "substance": "tasks.rewards.rules:SUBSTANCE",
    "ranking": "tasks.rewards.ranking:RANKING",
}


def names() -> list[str]:
    """The names of all rewards, this project's own first."""
    return list(plugins.found(GROUP, OWN))


def rewards(wanted: Iterable[str]) -> list[Reward]:
    """The plug-ins of these names. Raises BadInput if there is no such plug-in, or if it cannot be imported or used."""
    found, made = plugins.found(GROUP, OWN), list[Reward]()
    for name in wanted:
        if name not in found:
            raise BadInput("params.yaml", f"no reward {name!r}", field="reinforce.rewards", fix=f"use one of {', '.join(found)}")
        one = plugins.loaded(name, found[name], Reward)
        if (one.rule is None) == (one.judged is None):
            raise BadInput(name, f"{found[name]} has not exactly one of `rule` and `judged`", fix="correct the reward's package")
        made.append(one._replace(name=name))
    return made
