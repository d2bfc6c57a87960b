"""Length without loops: the words of a text outside its loops and repeated passages. A loop is no length that a reader would credit."""

from tasks.text.degeneration import without_repeats
from tasks.text.words import count_fixed


def count_without_loops(text: str) -> int:
    """Words as a person counts them (words.py), without those that repeat (degeneration.py). Linear but for one sort of the words."""
    return count_fixed(without_repeats(text))
