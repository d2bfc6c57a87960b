"""Scores of all groups of a step by all rewards. An error of a plug-in becomes one line that names it."""

import math
from collections.abc import Sequence

from tasks.rewards.interface import AnswerGroup, Reward, Scores
from tasks.rewards.ranking import Jury
from tasks.schema.errors import PipelineError, TrainingFailed


def scores_of(reward: Reward, groups: Sequence[AnswerGroup], jury: Jury | None) -> list[Scores]:
    """The scores of each group. Raises TrainingFailed if the plug-in raises, or gives anything but a finite number or None per answer."""
    try:
        found = _scored(reward, groups, jury)
        for group, scores in zip(groups, found, strict=True):
            if len(scores) != len(group.answers):
                raise ValueError(f"{len(scores)} scores for {len(group.answers)} answers")
            if wrong := [score for score in scores if score is not None and not math.isfinite(score)]:
                raise ValueError(f"a score of {wrong[0]}")
    except PipelineError:
        raise
    except Exception as error:  # a plug-in may raise anything
        what = next(iter(str(error).splitlines()), "")
        raise TrainingFailed(f"the reward {reward.name} failed: {type(error).__name__}: {what}; fix: correct the plug-in") from error
    return found


def _scored(reward: Reward, groups: Sequence[AnswerGroup], jury: Jury | None) -> list[Scores]:
    if reward.rule:
        return [[reward.rule(group.prompt, answer) for answer in group.answers] for group in groups]
    if jury is None or jury.judge is None:
        raise TrainingFailed(f"the reward {reward.name} asks a judge, and models.reward_judge is null; fix: name a judge, or remove it")
    return jury.score(reward, groups)
