"""Word counts as in the paper's scripts, and S_l, the score of a written length against the requested length."""

import re
from collections.abc import Callable
from functools import cache

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_ENGLISH = re.compile(r"\b[a-zA-Z]+\b")
_SHORT = 150  # characters; for a shorter text the regular expressions are fastest
# Classes of ASCII characters: a letter is "a", any other character of \w is "0", the rest is a space.
_CLASSES = bytes(ord("a" if chr(n).isalpha() else "0" if chr(n).isalnum() or chr(n) == "_" else " ") for n in range(128)) + b" " * 128
_MIXED_END = re.compile(rb"0a+ ")


def count_words(text: str) -> int:
    """Chinese characters (U+4E00 to U+9FFF) plus matches of `\\b[a-zA-Z]+\\b`, as the official LongWriter scripts count.

    The known errors ("don't" is two words, "GPT4" and kana are none) are kept, so that scores compare with published ones. Long
    texts are counted with arrays; the result is the same.
    """
    if text.isascii():
        return _count_ascii(text)
    return count_by_definition(text) if len(text) < _SHORT else _wide_counter()(text)


def count_by_definition(text: str) -> int:
    """The definition of `count_words` as regular expressions. Tests compare the faster implementations with it."""
    return len(_CHINESE.findall(text)) + len(_ENGLISH.findall(text))


def _count_ascii(text: str) -> int:
    """Runs of \\w that end in a letter, minus runs with a digit or an underscore before these letters."""
    classes = text.encode("ascii").translate(_CLASSES) + b" "
    return classes.count(b"a ") - len(_MIXED_END.findall(classes))


@cache
def _wide_counter() -> Callable[[str], int]:
    """A counter that works on arrays. Created at first use, because importing numpy takes longer than counting most texts."""
    import numpy as np

    case, a, letters, chinese, ideographs = (np.array(n, np.uint32) for n in (32, ord("a"), 26, 0x4E00, 0x5200))
    array, read, nonzero, wide = np.array, np.frombuffer, np.count_nonzero, np.uint32
    either, minus, below, differs = np.bitwise_or, np.subtract, np.less, np.bitwise_xor

    def count(text: str) -> int:
        """Chinese characters plus runs of ASCII letters, minus runs that touch another character of \\w at either end."""
        codes = read(array(f" {text} "), wide)
        folded = either(codes, case)  # lower case for ASCII letters; Chinese characters stay in their range
        letter = below(minus(folded, a), letters)
        words = nonzero(below(minus(folded, chinese, folded), ideographs))
        if not nonzero(letter):
            return int(words)
        touching = differs(letter[1:], letter[:-1]).nonzero()[0]  # alternating: the character before a run, the last letter of the run
        touching[1::2] += 1
        near = codes.take(touching)
        glued = read(word_characters(1 << 16 if near.max() < 1 << 16 else 0x110000), bool).take(near)
        return int(words + touching.size // 2 - nonzero(glued[::2] | glued[1::2]))

    return count


@cache
def word_characters(size: int) -> bytes:
    """One byte per code point below `size`: 1 if it is in \\w, else 0."""
    return bytes(character.isalnum() or character == "_" for character in map(chr, range(size)))


def chinese_share(text: str) -> float:
    """Share of Chinese characters (U+4E00 to U+9FFF) among all characters that are not white space, 0 to 1."""
    return len(_CHINESE.findall(text)) / max(1, len("".join(text.split())))


def s_l(asked: int, written: int) -> float:
    """The length score, 0 to 100 (paper, section 4.1). With l words requested and l' words written:

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
