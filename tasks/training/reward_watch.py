"""Reasons to stop a reinforcement, from the numbers of its steps alone: so a resumed training decides as an uninterrupted one.

The steps' own numbers are: `reward` (the weighted mean of the raw scores), `flat` (share of groups without a gradient: all advantages are
0, or the answers with another advantage are masked), `cut` (share of answers that max_tokens cut off), `unscored_NAME` (share of the
answers that a reward did not score) and, at some steps, `held_out` (0 to 100).
"""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from tasks.schema.params import Reinforce
from tasks.training.job import KeptStep

RECENT = 8  # steps over which the unscored share is averaged
PATIENCE = 2  # measurements in a row


class Look(NamedTuple):
    """One measurement on the held-out prompts."""

    step: int
    reward: float  # mean trained reward of the steps since the look before
    held_out: float  # S_l without loops of the held-out answers, 0 to 100


def problem(steps: Sequence[KeptStep], reinforce: Reinforce) -> str | None:
    """Why the training has to stop after the last of these steps; None if it need not."""
    return unscored(steps, reinforce) or flat(steps, reinforce) or parted(looks(steps), max_fall=reinforce.max_fall)


def unscored(steps: Sequence[KeptStep], reinforce: Reinforce) -> str | None:
    """Returns a problem if a reward left too many answers unscored: its judge does not answer, or cannot be read."""
    for name in reinforce.rewards:
        share = fmean(_number(step, f"unscored_{name}") for step in steps[-RECENT:])
        if share > reinforce.max_unscored:
            return (
                f"the reward {name} did not score {share:.0%} of the answers of the last {len(steps[-RECENT:])} steps;"
                f" reinforce.max_unscored allows {reinforce.max_unscored:.0%}; fix: check models.reward_judge's endpoint, or the plug-in"
            )
    return None


def flat(steps: Sequence[KeptStep], reinforce: Reinforce) -> str | None:
    """Returns a problem if no group had a gradient in too many steps in a row."""
    last = steps[-reinforce.max_flat :]
    if len(last) < reinforce.max_flat or any(_number(step, "flat") < 1 for step in last):
        return None
    means = ", ".join(f"{name} {_number(last[-1], f'reward_{name}'):.2f}" for name in reinforce.rewards)
    return (
        f"no group had a gradient for {len(last)} steps: the rewards were constant within it ({means}), or its answers were cut off and"
        f" masked ({_number(last[-1], 'cut'):.0%} cut off); fix: raise reinforce.max_tokens, temperature or group, or choose other rewards"
    )


def looks(steps: Iterable[KeptStep]) -> list[Look]:
    """The measurements on the held-out prompts, with the trained reward between them."""
    found, since = list[Look](), list[float]()
    for step in steps:
        since.append(_number(step, "reward"))
        if "held_out" in (step.model_extra or {}):
            found.append(Look(step.step, fmean(since), _number(step, "held_out")))
            since = []
    return found


def parted(found: Sequence[Look], *, max_fall: float) -> str | None:
    """Returns a problem if the trained reward rose while the held-out measure fell by more than `max_fall` points, at PATIENCE looks."""
    last = [(best, look) for number, look in enumerate(found) if number for best in [max(found[:number], key=lambda one: one.held_out)]]
    if len(last) < PATIENCE or not all(_apart(best, look, max_fall) for best, look in last[-PATIENCE:]):
        return None
    best, look = last[-1]
    return (
        f"the trained reward rose from {best.reward:.3f} (step {best.step}) to {look.reward:.3f}, while S_l without loops on the held-out"
        f" prompts fell from {best.held_out:.1f} to {look.held_out:.1f}: the policy pleases the rewards without following the requested"
        " lengths; fix: read its answers, change reinforce.rewards or lower learning_rate"
    )


def _apart(best: Look, look: Look, max_fall: float) -> bool:
    return best.held_out - look.held_out > max_fall and look.reward > best.reward


def _number(step: KeptStep, name: str) -> float:
    return float((step.model_extra or {}).get(name, 0.0))
