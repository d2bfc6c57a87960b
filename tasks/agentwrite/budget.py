"""Compute the word budget of the next paragraph, so that the whole text reaches its target length."""

from collections.abc import Sequence

from tasks.schema.params import Bounds

TOLERANCE = 0.1  # share of the target; a text within it has the requested length


def next_words(planned: Sequence[int], written: Sequence[int], *, target: int, bounds: Bounds) -> int:
    """Words to request for the next paragraph.

    `planned`: word counts of all paragraphs in the plan; `written`: words of the paragraphs so far. The rest of the target is divided
    over the rest of the plan in the plan's proportions, within `bounds`. So a short paragraph makes all later ones slightly longer,
    and only the error of the last paragraph remains. Raises IndexError if all paragraphs are written.
    """
    left = planned[len(written) :]
    words = left[0] * (target - sum(written)) / sum(left)
    return round(min(max(words, bounds.min), bounds.max))


def on_target(words: int, target: int) -> bool:
    """Whether a text of `words` words is within TOLERANCE of its target."""
    return abs(words - target) <= TOLERANCE * target
