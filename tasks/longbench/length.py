"""Words as the paper counts them, and S_l, the score of a length against the length that was asked for."""

import re

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_ENGLISH = re.compile(r"\b[a-zA-Z]+\b")


def count_words(text: str) -> int:
    """Chinese characters (U+4E00 to U+9FFF) plus matches of `\\b[a-zA-Z]+\\b`, as the official scripts count.

    Kept with its quirks ("don't" is two, "GPT4" and kana are none): scores must compare with published ones.
    """
    return len(_CHINESE.findall(text)) + len(_ENGLISH.findall(text))


def chinese_share(text: str) -> float:
    """Share of the characters that are not white space which are Chinese (U+4E00 to U+9FFF), 0 to 1."""
    return len(_CHINESE.findall(text)) / max(1, len("".join(text.split())))


def s_l(asked: int, written: int) -> float:
    """The length score, 0 to 100 (paper, section 4.1). With l words asked and l' written:

        l' > l:  100 · max(0, 1 − (l'/l − 1) / 3)
        else:    100 · max(0, 1 − (l/l' − 1) / 2)

    An empty answer scores 0. Raises ValueError unless `asked` is positive and `written` is not negative.
    """
    if asked <= 0 or written < 0:
        raise ValueError(f"asked {asked} and written {written}: a length is positive")
    if written == 0:
        return 0.0
    if written > asked:
        return 100 * max(0.0, 1 - (written / asked - 1) / 3)
    return 100 * max(0.0, 1 - (asked / written - 1) / 2)
