"""How a text goes wrong at length: it repeats itself, loops, breaks off, or slips into another language; and where.

Pure functions of a text. Words are runs of letters and digits, case aside; a Chinese character or a kana is a word of its own.
Everything runs on arrays, so that an answer of 10 MB takes a second.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.schema.records import Degeneration
from tasks.text.counts import word_characters
from tasks.text.endings import ending, strip_markup
from tasks.text.languages import latin_switches

N = 4  # words or characters of an n-gram
PARTS = 10  # of a text, by position
TIMES = 3  # that the same block comes in a row, from which it is a loop
LEAST = 12  # words of a loop, all its copies together: "no, no, no" is none
NEAR_TIMES, NEAR = 5, 0.8  # that nearly the same block comes in a row, and the share of its words that stay, from which it is a loop
LONG, LONG_TIMES = 40, 2.5  # words of a block that is a loop with its third copy only half there
SIGNS, SIGN_LINES, SOLID = 60, 20, 200  # of a stretch without letters that is a loop: signs, over so many lines, or so many signs at all
PERIODS = 24  # lengths of a looping block that are tried: the commonest distances between equal n-grams
SURE = 40  # Latin letters, or a quarter as many Chinese characters, from which a stretch counts as being in a script

LONGEST = 32  # characters of a word, a power of two: a giant token is cut, so that it can loop
_CJK_WORDS = ((0x3040, 0x30FF), (0x3400, 0x9FFF))  # kana and Chinese characters: each is a word
_OTHER, _LETTER, _ALONE, _SIGN = range(4)  # of no word; of a word with its neighbours; a word alone; a sign that is a word alone
_FACTORS = np.random.default_rng(7).integers(2**63, size=LONGEST, dtype=np.uint64) * np.uint64(2) + np.uint64(1)  # odd
_SCRIPTS: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = (  # the weight of a letter, and code points from and to
    (1, ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F))),  # Latin
    (1, ((0x370, 0x3FF),)),  # Greek
    (1, ((0x400, 0x52F),)),  # Cyrillic
    (1, ((0x590, 0x5FF),)),  # Hebrew
    (1, ((0x600, 0x6FF),)),  # Arabic
    (1, ((0x900, 0xDFF),)),  # of India
    (1, ((0xE00, 0xE7F),)),  # Thai
    (4, ((0x3040, 0x30FF), (0x3400, 0x9FFF))),  # kana and Chinese characters, which Japanese mixes; each says as much as four letters
    (2, ((0xAC00, 0xD7AF),)),  # Hangul
)
_BEYOND_LATIN = re.compile("[^\0-\u024f\u2000-\u206f]")  # whatever may be a letter of another script: not Latin, nor punctuation
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_BREAKS = np.array([ord(sign) for sign in ".!?。！？\n"], np.uint32)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 ÷ the golden ratio

Places = NDArray[np.int64]
Marks = NDArray[np.bool_]


class Repeats(NamedTuple):
    again: Marks  # for each n-gram of four words, by its beginning: it came before in the text
    looping: Marks  # for each word: it repeats, within a loop, what stands one block before it


def _script_table() -> NDArray[np.uint8]:
    """The script of each code point below 2^16, from 1; 0 for signs, digits and all else."""
    table = np.zeros(0x10000, np.uint8)
    for number, (_, ranges) in enumerate(_SCRIPTS, 1):
        for first, last in ranges:
            table[first : last + 1] = number
    return table


_TABLE = _script_table()
_CJK = 8  # the number of kana and Chinese characters
_WEIGHTS = np.array([0, *(weight for weight, _ in _SCRIPTS)], np.uint8)


def degeneration(text: str, *, finish_reason: str = "") -> Degeneration:
    """All measures of one answer."""
    ends = ending(text, finish_reason=finish_reason)
    text = strip_markup(text)
    words = word_ids(text)
    again, looping = _repeats(words)
    other, changes = other_scripts(text)
    changes += latin_switches(text)
    return Degeneration(
        repetition=_share(again),
        looped=_share(looping),
        unfinished=ends.cause != "ended",
        ending=ends.cause,
        switches=changes,
        repetition_by_part=by_part(again),
        looped_by_part=by_part(looping),
        other_script_by_part=other,
    )


def repeated_ngrams(text: str) -> float:
    """1 − distinct ÷ all n-grams of four words, 0 to 1: seq-rep-4 of Welleck et al. 2019 (arXiv 1908.04319). Grows with length."""
    return _share(_repeats(word_ids(text)).again)


def looped(text: str) -> float:
    """Share of the words that only repeat, within a loop, what stands one block before them, 0 to 1; a loop's first copy is not among them.

    A loop is a block of any length (a word, a sentence, a page) that comes three times or more in a row, twelve words and more in all; or
    five times with a fifth of its words changed; or a stretch of a few signs over and over.
    """
    return _share(_repeats(word_ids(text)).looping)


def switches(text: str) -> int:
    """How often the text changes its script from one stretch of sentences to the next; a quoted sentence is there and back: two.

    Of languages that share a script those of the Latin one are told apart, and Japanese from Chinese; names and terms within a sentence
    do not count.
    """
    return other_scripts(text)[1] + latin_switches(text)


def word_ids(text: str) -> Places:
    """A text's words as numbers: equal where the words are; two different words get the same number once in 10^19.

    In a long stretch of a few signs over and over ("!!!!", "- " on line after line) each sign counts as a word.
    """
    text = text.lower()
    codes = _codes(text)
    kinds = _kinds(0x10000 if text.isascii() or codes.max() < 0x10000 else 0x110000).take(codes)
    _mark_sign_loops(text, codes, kinds)
    within = np.flatnonzero(kinds)
    if not len(within):
        return np.zeros(0, np.int64)
    codes, alone = codes[within], kinds[within] >= _ALONE
    starts = np.flatnonzero(np.concatenate(([True], alone[1:] | alone[:-1] | (np.diff(within) > 1))))
    place = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))  # of each character within its word
    place &= LONGEST - 1
    return np.add.reduceat(_FACTORS.take(place) * codes, np.flatnonzero(place == 0)).view(np.int64)


def _codes(text: str) -> NDArray[np.uint32]:
    """The code points, lone surrogates too."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@cache
def _kinds(size: int) -> NDArray[np.uint8]:
    """What each code point below `size` is to the words."""
    kinds = np.frombuffer(word_characters(size), np.uint8).copy()
    kinds[ord("_")] = _OTHER
    for first, last in _CJK_WORDS:
        kinds[first : last + 1] = np.where(kinds[first : last + 1], _ALONE, _SIGN)
    return kinds


def _mark_sign_loops(text: str, codes: NDArray[np.uint32], kinds: NDArray[np.uint8]) -> None:
    """Makes each sign a word in the long stretches without letters that consist of a few signs."""
    letters = np.concatenate(([-1], np.flatnonzero((kinds == _LETTER) | (kinds == _ALONE)), [len(kinds)]))
    for before in np.flatnonzero(np.diff(letters) > SIGNS):
        start, end = letters[before] + 1, letters[before + 1]
        if signs := _sign_loop(text[start:end]):
            kinds[start:end][np.isin(codes[start:end], list(map(ord, signs)))] = _SIGN


def _sign_loop(stretch: str) -> set[str]:
    """The signs of a stretch without letters, if there are many of a few; a rule of dashes is none."""
    signs = "".join(stretch.split())
    many = len(signs) >= SOLID or (len(signs) >= SIGNS and stretch.count("\n") >= SIGN_LINES)
    return found if many and len(found := set(signs)) <= 4 else set()


def by_part(marks: Marks) -> tuple[float, ...]:
    """The share of marks in each tenth of the text, first to last; none for a text of fewer than ten words."""
    if len(marks) < PARTS:
        return ()
    if not marks.any():
        return (0.0,) * PARTS
    starts, sizes = _parts(len(marks))
    return tuple((np.add.reduceat(marks, starts, dtype=np.int64) / sizes).tolist())


def _parts(number: int) -> tuple[Places, Places]:
    """Where each tenth of so many places begins, and how many it has; the first ones have one more where they are not equal."""
    sizes = number // PARTS + (np.arange(PARTS) < number % PARTS)
    return np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes


def other_scripts(text: str) -> tuple[tuple[float, ...], int]:
    """The share of another script than the text's main one in each tenth, and how often the script changes between stretches."""
    if not _BEYOND_LATIN.search(text):  # most texts
        return ((0.0,) * PARTS if _LATIN.search(text) else ()), 0
    points = _codes(text)
    scripts = _TABLE[np.minimum(points, len(_TABLE) - 1)]
    totals = np.bincount(scripts, minlength=len(_WEIGHTS)) * _WEIGHTS.astype(np.int64)
    if not totals.any():
        return (), 0
    weights, own = _WEIGHTS[scripts], scripts == totals.argmax()
    shares = tuple(1 - mine / whole if whole else 0.0 for mine, whole in zip(_by_part(weights * own), _by_part(weights), strict=True))
    present = [int(script) for script in np.flatnonzero(totals >= SURE)]
    mixed = len(present) > 1 or (_CJK in present and bool(((points >= 0x3041) & (points <= 0x30FF)).any()))
    return shares, _changes(points, scripts, present) if mixed else 0


def _by_part(weights: NDArray[np.uint8]) -> list[int]:
    """The sum of each tenth; of a text of fewer than ten characters, some tenths are empty."""
    sums = np.concatenate(([0], np.cumsum(weights, dtype=np.int64)))
    starts, sizes = _parts(len(weights))
    found: list[int] = (sums[starts + sizes] - sums[starts]).tolist()
    return found


def _repeats(words: Places) -> Repeats:
    if len(words) < N:
        return Repeats(np.zeros(0, bool), np.zeros(len(words), bool))
    ngrams = _ngrams(words)
    order = np.argsort(ngrams, kind="stable")
    ordered = ngrams[order]
    equal = ordered[1:] == ordered[:-1]  # the n-gram at order[i + 1] stands before, last at order[i]
    again = np.zeros(len(ngrams), bool)
    again[order[1:][equal]] = True
    return Repeats(again, _in_loops(words, np.diff(order)[equal]))


def _ngrams(words: Places) -> NDArray[np.uint64]:
    """One number for each n-gram: a polynomial in a large odd number, modulo 2^64; two that differ are equal once in 10^19."""
    terms = words.astype(np.uint64)
    result = terms[: len(terms) - N + 1]
    for place in range(1, N):
        result = result * _MULTIPLIER + terms[place : len(terms) - N + 1 + place]
    return result


def _in_loops(words: Places, gaps: Places) -> Marks:
    """Which words are in loops, given the distances from n-grams to their last occurrence: a loop's period is a common one."""
    looping = np.zeros(len(words), bool)
    if not len(gaps):
        return looping
    counts = np.bincount(gaps)
    # Within a loop the n-grams come again one period on, but for those that come twice in the block: half is a safe bound.
    periods = np.flatnonzero(counts >= np.maximum((TIMES - 1) * np.arange(len(counts)) // 2, 1))
    for period in periods[np.argsort(-counts[periods], kind="stable")][:PERIODS]:
        same = words[period:] == words[:-period]
        edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8))).reshape(-1, 2)
        times = TIMES if period < LONG else LONG_TIMES
        long = edges[:, 1] - edges[:, 0] >= max((times - 1) * int(period), LEAST - int(period))
        for start, end in edges[long]:
            looping[start + period : end + period] = True
        _mark_near(looping, same, int(period))
    return looping


def _mark_near(looping: Marks, same: Marks, period: int) -> None:
    """Marks the stretches in which nearly every word is that of one block before: the block comes again with a word changed."""
    window = max((NEAR_TIMES - 1) * period, LEAST * NEAR_TIMES)
    if len(same) < window:
        return
    sums = np.concatenate(([0], np.cumsum(same)))
    near = np.flatnonzero(sums[window:] - sums[:-window] >= NEAR * window)
    if len(near):
        steps = np.zeros(len(looping) + 1, np.int64)
        np.add.at(steps, near + period, 1)
        np.add.at(steps, near + period + window, -1)
        looping |= np.cumsum(steps)[:-1] > 0


def _changes(points: NDArray[np.uint32], scripts: NDArray[np.uint8], present: Sequence[int]) -> int:
    """Changes of script between the sentences that are long enough to be sure of. Kana is counted with the Chinese characters."""
    sentences = np.cumsum(np.isin(points, _BREAKS))
    most, main = np.zeros(int(sentences[-1]) + 1, np.int64), np.zeros(int(sentences[-1]) + 1, np.int8)
    for script in present:
        weight = np.bincount(sentences[scripts == script], minlength=len(most)) * int(_WEIGHTS[script])
        main[weight > most] = script
        most = np.maximum(most, weight)
    kana = np.bincount(sentences[(points >= 0x3041) & (points <= 0x30FF)], minlength=len(most)) * 4
    japanese = kana * 8 > most
    if japanese.any() and not japanese[(main == _CJK) & (most >= 2 * SURE)].all():
        main[japanese & (main == _CJK)] = len(_WEIGHTS)
        most[~japanese & (main == _CJK) & (most < 2 * SURE)] = 0  # a short title without kana may be Japanese
    sure = main[most >= SURE]
    return int((sure[1:] != sure[:-1]).sum())


def _share(marks: Marks) -> float:
    return int(np.count_nonzero(marks)) / len(marks) if len(marks) else 0.0
