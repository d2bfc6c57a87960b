"""From the scores of several rewards to one advantage per answer, within its group. Plain Python, without torch.

- `average` (LongWriter-Zero, arXiv 2506.18841): each reward is normalised within the group, then their mean is taken. So no reward
  dominates because of its scale.
- `weights`: the same, as a weighted mean.
- `sum` (POLARIS, arXiv 2606.04095): the weighted sum of the raw scores, limited to ±2, is normalised once.

Normalised means: minus the group's mean, over its standard deviation. An answer that a reward did not score takes no part in that mean and
gets the group's mean of that reward: 0 where each reward is normalised, the mean of its raw scores in `sum`. If all scores of a reward are
equal in the group, the reward gives 0 to all of them.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Literal

from tasks.rewards.interface import Scores

Combine = Literal["average", "weights", "sum"]

LIMIT = 2.0  # of the weighted sum (POLARIS)
NOTHING = 1e-6  # a standard deviation below it is none
SMALL = 1e-4  # added to each standard deviation, as TRL does


def normalised(scores: Scores) -> list[float]:
    """Each score minus the mean, over the standard deviation of the scored answers; 0 for an unscored one and if all are equal."""
    known = [score for score in scores if score is not None]
    if len(known) < 2 or (spread := stdev(known)) < NOTHING:
        return [0.0] * len(scores)
    mean = fmean(known)
    return [0.0 if score is None else (score - mean) / (spread + SMALL) for score in scores]


def advantages(scored: Mapping[str, Scores], weights: Mapping[str, float], how: Combine) -> list[float]:
    """The advantage of each answer of a group, with mean 0, from the scores of each reward and its positive weight."""
    if how == "sum":
        return normalised(_sums(scored, weights))
    columns = [[weights[name] * value for value in normalised(scores)] for name, scores in scored.items()]
    total = sum(weights[name] for name in scored)
    return [sum(row) / total for row in zip(*columns, strict=True)]


def trained_reward(scored: Sequence[Mapping[str, Scores]], weights: Mapping[str, float]) -> float:
    """The weighted mean of the raw scores over all groups: what the training raises. 0 if nothing was scored."""
    total = weight = 0.0
    for group in scored:
        for name, scores in group.items():
            known = [score for score in scores if score is not None]
            total, weight = total + weights[name] * sum(known), weight + weights[name] * len(known)
    return total / weight if weight else 0.0


def _sums(scored: Mapping[str, Scores], weights: Mapping[str, float]) -> list[float | None]:
    """The limited weighted sum of each answer; None if no reward scored it.

    A score that is missing counts as the group's mean of that reward: 0 would be a raw score, and usually the worst.
    """
    means = {name: fmean(known) for name, scores in scored.items() if (known := [score for score in scores if score is not None])}
    found = list[float | None]()
    for row in zip(*scored.values(), strict=True):
        answer = {name: score for name, score in zip(scored, row, strict=True) if score is not None}
        total = sum(weights[name] * answer.get(name, mean) for name, mean in means.items())
        found.append(min(LIMIT, max(-LIMIT, total)) if answer else None)
    return found
