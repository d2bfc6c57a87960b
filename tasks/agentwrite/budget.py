"""How many words the next paragraph gets, so that the whole text lands on its target."""

from collections.abc import Sequence

from tasks.schema.params import Bounds

TOLERANCE = 0.1  # of the target: a text within it has the asked length


def next_words(planned: Sequence[int], written: Sequence[int], *, target: int, bounds: Bounds) -> int:
    """Words to ask for in the paragraph after `written`, of which `planned` has the plan's word counts.

    What is left of the target is shared out over what is left of the plan in the plan's proportions, within `bounds`: a paragraph
    that came out short makes all the later ones a little longer, and only the last one's own miss remains.
    """
    left = planned[len(written) :]
    words = left[0] * (target - sum(written)) / sum(left)
    return round(min(max(words, bounds.min), bounds.max))


def on_target(words: int, target: int) -> bool:
    """Is a text of so many words within TOLERANCE of its target?"""
    return abs(words - target) <= TOLERANCE * target
