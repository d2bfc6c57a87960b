"""What a reward is: a plug-in that scores the answers of a group, by rule or by asking a judge.

A plug-in is a module with a `Reward`, named in the entry-point group `longwriter.rewards` of its distribution:

    [project.entry-points."longwriter.rewards"]
    dialogue = "my_package.dialogue:REWARD"

    def _score(prompt: BenchmarkItem, answer: WrittenAnswer) -> float | None:
        return answer.text.count('"') / max(1, len(answer.text))

    REWARD = Reward("dialogue", "share of quotation marks", rule=_score)

params.yaml names it with its weight: `reinforce.rewards: {length: 1.0, dialogue: 0.5}`. A higher score is better. None means that the
answer was not scored; it is never 0. Give scores in [0, 1], because the report of the trained reward averages them.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from tasks.schema.records import BenchmarkItem

Scores = Sequence[float | None]  # one per answer of a group; None: not scored


class WrittenAnswer(NamedTuple):
    """One answer of the policy."""

    text: str  # without thoughts
    tokens: int  # thoughts and the end of turn included
    ended: bool  # the policy wrote the end of turn, before the limit of tokens


class AnswerGroup(NamedTuple):
    """The answers to one prompt at one step."""

    prompt: BenchmarkItem
    answers: tuple[WrittenAnswer, ...]


class Comparing(Protocol):
    """The judge that trains."""

    async def compare(self, group: AnswerGroup) -> Scores:
        """The share of its comparisons that each answer won, 0 to 1. None for an answer without a readable comparison."""


class Reward(NamedTuple):
    """A plug-in. Exactly one of `rule` and `judged` is given."""

    name: str  # as in params.yaml
    about: str  # what is rewarded, in a line
    rule: Callable[[BenchmarkItem, WrittenAnswer], float | None] | None = None
    judged: Callable[[AnswerGroup, Comparing], Awaitable[Scores]] | None = None  # asks models.reward_judge
