"""Notice, while a text is written, that its end has become a loop. The definition of a loop is that of degeneration.py."""

from tasks.text.degeneration import looped

TAILS = (400, 800, 1_600, 3_200, 6_400)  # characters at the end that are searched, for short and for long blocks
SHARE = 0.6  # share of looping words from which such an end is a loop: three copies of a block, the first of which does not count


def ends_in_loop(text: str) -> bool:
    """Whether the text's end repeats one block at least three times. Constant time: only the last TAILS characters are read."""
    return any(len(text) >= size and looped(text[-size:]) >= SHARE for size in TAILS)
