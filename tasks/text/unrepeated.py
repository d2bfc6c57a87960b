"""Length without loops: the words of a text outside its loops and repeated passages. A loop is no length that a reader would credit."""

from tasks.text.degeneration import without_repeats
from tasks.text.words import count_fixed


def count_without_loops(text: str, *, written: int | None = None) -> int:
    """Words as a person counts them (words.py), without those that repeat (degeneration.py). Linear but for one sort of the words.

    `written`: the result of `count_fixed(text)`, if it is known; a text without repeats is then not counted again.
    """
    once = without_repeats(text)
    return written if once is text and written is not None else count_fixed(once)
