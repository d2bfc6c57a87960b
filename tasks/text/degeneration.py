"""Measure how and where a long text degenerates: repetition, loops, an unfinished end, a change of language.

All functions depend on the text alone. Words are runs of letters and digits, without case; each Chinese character and each kana is
one word. Everything runs on arrays: an answer of 10 MB takes a second.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.schema.records import Degeneration
from tasks.text.counts import word_characters
from tasks.text.endings import ending, strip_markup
from tasks.text.languages import latin_switches

N = 4  # words or characters of an n-gram
PARTS = 10  # equal parts of a text, by position
TIMES = 3  # copies of a block in a row that make a loop
PASSAGE = 16  # words in a row, with all their n-grams seen before, that make a repeated passage: about a sentence
LEAST = 12  # words of a loop, all copies together: "no, no, no" is not a loop
NEAR_TIMES, NEAR = 5, 0.8  # copies in a row that make a loop if they differ, and the share of equal words
LONG, LONG_TIMES = 40, 2.5  # words of a long block, and the copies that make it a loop: the third may be half complete
SIGNS, SIGN_LINES, SOLID = 60, 20, 200  # a stretch without letters is a loop from SIGNS signs on SIGN_LINES lines, or from SOLID signs
PERIODS = 24  # block lengths that are tried: the most frequent distances between equal n-grams
SURE = 40  # Latin letters (or a quarter as many Chinese characters) that decide the script of a stretch

LONGEST = 32  # characters of a word, a power of two; a longer token is cut, so that loops inside it are found
_CJK_WORDS = ((0x3040, 0x30FF), (0x3400, 0x9FFF))  # kana and Chinese characters: each is a word
_OTHER, _LETTER, _ALONE, _SIGN = range(4)  # in no word; a letter of a longer word; a word of one character; a sign that counts as a word
_FACTORS = np.random.default_rng(7).integers(2**63, size=LONGEST, dtype=np.uint64) * np.uint64(2) + np.uint64(1)  # odd
_SCRIPTS: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = (  # weight of a letter, and ranges of code points
    (1, ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F))),  # Latin
    (1, ((0x370, 0x3FF),)),  # Greek
    (1, ((0x400, 0x52F),)),  # Cyrillic
    (1, ((0x590, 0x5FF),)),  # Hebrew
    (1, ((0x600, 0x6FF),)),  # Arabic
    (1, ((0x900, 0xDFF),)),  # Indic scripts
    (1, ((0xE00, 0xE7F),)),  # Thai
    (4, ((0x3040, 0x30FF), (0x3400, 0x9FFF))),  # kana and Chinese characters, mixed in Japanese; each weighs as much as four letters
    (2, ((0xAC00, 0xD7AF),)),  # Hangul
)
_BEYOND_LATIN = re.compile("[^\0-\u024f\u2000-\u206f]")  # possible letters of other scripts: neither Latin nor punctuation
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_BREAKS = np.array([ord(sign) for sign in ".!?。！？\n"], np.uint32)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 ÷ the golden ratio

Places = NDArray[np.int64]
Marks = NDArray[np.bool_]


class Repeats(NamedTuple):
    """Repeated n-grams and looping words of a text."""

    again: Marks  # per n-gram of four words, in order of first words: it occurred before
    looping: Marks  # per word: inside a loop, it repeats the word one block earlier


def _script_table() -> NDArray[np.uint8]:
    """The script number of each code point below 2^16, from 1; 0 for signs, digits and everything else."""
    table = np.zeros(0x10000, np.uint8)
    for number, (_, ranges) in enumerate(_SCRIPTS, 1):
        for first, last in ranges:
            table[first : last + 1] = number
    return table


_TABLE = _script_table()
_CJK = 8  # the number of kana and Chinese characters
_WEIGHTS = np.array([0, *(weight for weight, _ in _SCRIPTS)], np.uint8)


def degeneration(text: str, *, finish_reason: str = "") -> Degeneration:
    """All measures of one answer. `finish_reason`: as the endpoint reported it; empty if unknown."""
    ends = ending(text, finish_reason=finish_reason)
    text = strip_markup(text)
    words, again, looping = _analysed(text)
    other, changes = other_scripts(text)
    changes += latin_switches(text)
    return Degeneration(
        repetition=_share(again),
        looped=_share(looping),
        unfinished=ends.cause != "ended",
        ending=ends.cause,
        switches=changes,
        distinct=distinct(words.ids),
        repetition_by_part=by_part(again),
        looped_by_part=by_part(looping),
        other_script_by_part=other,
    )


def distinct(words: Places) -> float | None:
    """Distinct ÷ all n-grams of two words: distinct-2 of Li et al. 2016 (arXiv 1510.03055). Falls with length. None without any."""
    if len(words) < 2:
        return None
    pairs = np.sort(words[:-1].astype(np.uint64) * _MULTIPLIER + words[1:].astype(np.uint64))
    return (1 + int(np.count_nonzero(np.diff(pairs)))) / len(pairs)


def looped(text: str) -> float:
    """Share of words that repeat, inside a loop, the word one block earlier, 0 to 1. The first copy of a block does not count.

    A loop is a block of any length (a word, a sentence, a page) that occurs at least three times in a row, with at least twelve words
    in total; or five times with up to a fifth of the words changed; or a long stretch of the same few signs.
    """
    return _share(_repeats(word_ids(text)).looping)


class Words(NamedTuple):
    """A text's words: what each is, and where it begins."""

    ids: Places
    starts: Places  # code points of the text in small letters
    codes: NDArray[np.uint32]  # of that text
    within: Marks  # for each of its code points: it is part of a word


class _Analysed(NamedTuple):
    """A text's words with their repeats."""

    words: Words
    again: Marks
    looping: Marks


@lru_cache(maxsize=1)  # several measures of one answer follow each other
def _analysed(text: str) -> _Analysed:
    words = located_words(text)
    return _Analysed(words, *_repeats(words.ids))


def without_repeats(text: str) -> str:
    """The text, in small letters, without the words that repeat: those in loops behind the first copy, and those of passages of `PASSAGE`
    words and more that came before. A text without repeats is returned unchanged."""
    words, again, looping = _analysed(strip_markup(text))
    marked = looping | _in_passages(again, len(words.ids))
    if not marked.any():
        return text
    gone = np.zeros(len(words.codes), bool)
    ends = np.append(words.starts[1:], len(words.codes))
    for start, end in zip(words.starts[marked], ends[marked], strict=True):
        gone[start:end] = True
    codes = np.where(gone & words.within, np.uint32(ord(" ")), words.codes)
    return codes.tobytes().decode("utf-32-le", "surrogatepass")


class RepeatedSpan(NamedTuple):
    """A stretch of a text that repeats: characters from `start` to `end`, in a loop or as a passage that came before."""

    start: int
    end: int
    loop: bool


def repeated_spans(text: str) -> list[RepeatedSpan]:
    """The stretches of `text` that repeat, in order and without overlaps: loops behind the first copy, and passages of `PASSAGE` words and
    more that came before. Positions are those of `text`; markup is part of it, so shares may differ slightly from the measured ones."""
    words = located_words(text.replace("İ", "i"))  # the only character that becomes two in small letters
    again, looping = _repeats(words.ids)
    kinds = np.where(looping, 2, _in_passages(again, len(words.ids)))
    edges = np.concatenate(([0], np.flatnonzero(np.diff(kinds)) + 1, [len(kinds)])) if len(kinds) else np.zeros(0, np.int64)
    spans = []
    for first, behind in pairwise(edges.tolist()):
        if kinds[first]:
            end = int(words.starts[behind]) if behind < len(kinds) else len(words.codes)
            last = int(words.starts[behind - 1])
            spans.append(
                RepeatedSpan(int(words.starts[first]), last + int(np.flatnonzero(words.within[last:end])[-1]) + 1, bool(kinds[first] == 2))
            )
    return spans


def _in_passages(again: Marks, words: int) -> Marks:
    """Which of so many words are in runs of n-grams that came before, `PASSAGE` words long and more."""
    marked = np.zeros(words, bool)
    if np.count_nonzero(again) < PASSAGE - N + 1:
        return marked
    edges = _stretches(again)
    for start, end in edges[edges[:, 1] - edges[:, 0] + N - 1 >= PASSAGE]:
        marked[start : end + N - 1] = True
    return marked


def word_ids(text: str) -> Places:
    """The words of a text as hashes, shape (words,). Two different words have equal hashes with a probability of 10^-19.

    In a long stretch of the same few signs ("!!!!", lines of "- ") each sign counts as a word.
    """
    return located_words(text).ids


def located_words(text: str) -> Words:
    """As `word_ids`, with where each word begins."""
    text = text.lower()
    codes = _codes(text)
    if text.isascii():  # six times as fast as looking each code point up
        kinds = np.frombuffer(bytearray(text.encode().translate(_ascii_kinds())), np.uint8)
    else:
        kinds = _kinds(0x10000 if codes.max() < 0x10000 else 0x110000).take(codes)
    _mark_sign_loops(text, codes, kinds)
    whole, within = codes, np.flatnonzero(kinds)
    if not len(within):
        return Words(np.zeros(0, np.int64), np.zeros(0, np.int64), whole, kinds > 0)
    codes, alone = codes[within], kinds[within] >= _ALONE
    starts = np.flatnonzero(np.concatenate(([True], alone[1:] | alone[:-1] | (np.diff(within) > 1))))
    place = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))  # position of each character in its word
    place &= LONGEST - 1
    begins = np.flatnonzero(place == 0)
    return Words(np.add.reduceat(_FACTORS.take(place) * codes, begins).view(np.int64), within[begins], whole, kinds > 0)


def _codes(text: str) -> NDArray[np.uint32]:
    """The code points of a text, including lone surrogates."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@cache
def _ascii_kinds() -> bytes:
    """The class of each byte, for `bytes.translate` of ASCII text."""
    return _kinds(0x10000)[:256].tobytes()


@cache
def _kinds(size: int) -> NDArray[np.uint8]:
    """The class of each code point below `size`: `_OTHER`, `_LETTER`, `_ALONE` or `_SIGN`."""
    kinds = np.frombuffer(word_characters(size), np.uint8).copy()
    kinds[ord("_")] = _OTHER
    for first, last in _CJK_WORDS:
        kinds[first : last + 1] = np.where(kinds[first : last + 1], _ALONE, _SIGN)
    return kinds


def _mark_sign_loops(text: str, codes: NDArray[np.uint32], kinds: NDArray[np.uint8]) -> None:
    """Mark each sign as a word in long stretches that consist of a few signs and have no letters. Changes `kinds`."""
    letters = np.concatenate(([-1], np.flatnonzero((kinds == _LETTER) | (kinds == _ALONE)), [len(kinds)]))
    for before in np.flatnonzero(np.diff(letters) > SIGNS):
        start, end = letters[before] + 1, letters[before + 1]
        if signs := _sign_loop(text[start:end]):
            kinds[start:end][np.isin(codes[start:end], list(map(ord, signs)))] = _SIGN


def _sign_loop(stretch: str) -> set[str]:
    """The distinct signs of a stretch without letters if few signs repeat often; empty otherwise, as for a rule of dashes."""
    signs = "".join(stretch.split())
    many = len(signs) >= SOLID or (len(signs) >= SIGNS and stretch.count("\n") >= SIGN_LINES)
    return found if many and len(found := set(signs)) <= 4 else set()


def by_part(marks: Marks) -> tuple[float, ...]:
    """The share of marks in each tenth of the text, first to last; empty if there are fewer than ten marks."""
    if len(marks) < PARTS:
        return ()
    if not marks.any():
        return (0.0,) * PARTS
    starts, sizes = _parts(len(marks))
    return tuple((np.add.reduceat(marks, starts, dtype=np.int64) / sizes).tolist())


def _parts(number: int) -> tuple[Places, Places]:
    """Start and size of each tenth of `number` positions. The first tenths have one more position if they cannot be equal."""
    sizes = number // PARTS + (np.arange(PARTS) < number % PARTS)
    return np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes


def other_scripts(text: str) -> tuple[tuple[float, ...], int]:
    """The share of scripts other than the main one in each tenth, and the number of changes of script between stretches."""
    if text.isascii() or not _BEYOND_LATIN.search(text):  # most texts
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
    """The sum of each tenth. With fewer than ten characters, some tenths are empty and their sum is 0."""
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
    equal = ordered[1:] == ordered[:-1]  # the n-gram at order[i + 1] occurred before, most recently at order[i]
    again = np.zeros(len(ngrams), bool)
    again[order[1:][equal]] = True
    return Repeats(again, _in_loops(words, np.diff(order)[equal]))


def _ngrams(words: Places) -> NDArray[np.uint64]:
    """A hash of each n-gram: a polynomial modulo 2^64. Different n-grams have equal hashes with a probability of 10^-19."""
    terms = words.astype(np.uint64)
    result = terms[: len(terms) - N + 1]
    for place in range(1, N):
        result = result * _MULTIPLIER + terms[place : len(terms) - N + 1 + place]
    return result


def _in_loops(words: Places, gaps: Places) -> Marks:
    """The words that are in loops. `gaps`: distances from n-grams to their previous occurrence; a loop's period is a frequent gap."""
    looping = np.zeros(len(words), bool)
    if not len(gaps):
        return looping
    counts = np.bincount(gaps)
    # In a loop an n-gram recurs after one period, unless it occurs twice within the block: half of the expected count is a safe bound.
    periods = np.flatnonzero(counts >= np.maximum((TIMES - 1) * np.arange(len(counts)) // 2, 1))
    for period in periods[np.argsort(-counts[periods], kind="stable")][:PERIODS]:
        same = words[period:] == words[:-period]
        edges = _stretches(same)
        times = TIMES if period < LONG else LONG_TIMES
        long = edges[:, 1] - edges[:, 0] >= max((times - 1) * int(period), LEAST - int(period))
        for start, end in edges[long]:
            looping[start + period : end + period] = True
        _mark_near(looping, same, int(period))
    return looping


def _mark_near(looping: Marks, same: Marks, period: int) -> None:
    """Mark stretches in which most words equal the word one block earlier: the block recurs with a few words changed. Changes `looping`."""
    window = max((NEAR_TIMES - 1) * period, LEAST * NEAR_TIMES)
    if len(same) < window:
        return
    sums = np.concatenate(([0], np.cumsum(same)))
    near = np.flatnonzero(sums[window:] - sums[:-window] >= NEAR * window)
    if not len(near):
        return
    steps = np.zeros(len(same) + 1, np.int64)
    np.add.at(steps, near, 1)
    np.add.at(steps, near + window, -1)
    runs = np.flatnonzero(np.convolve(same, np.ones(N, np.int64), "valid") == N)  # beginnings of n-grams that are those of one block before
    for start, end in _stretches(np.cumsum(steps)[:-1] > 0):
        first, last = np.searchsorted(runs, start), np.searchsorted(runs, end - N, side="right") - 1
        if first <= last:  # without the words at its ends that only fill the window up: the first copy is none of the loop
            looping[runs[first] + period : runs[last] + N + period] = True


def _stretches(marks: Marks) -> Places:
    """Where each run of marks begins, and behind its last."""
    framed = np.zeros(len(marks) + 2, bool)
    framed[1:-1] = marks
    edges: Places = (framed[1:] != framed[:-1]).nonzero()[0]
    return edges.reshape(-1, 2)


def _changes(points: NDArray[np.uint32], scripts: NDArray[np.uint8], present: Sequence[int]) -> int:
    """Changes of script between sentences that are long enough to decide. CJK sentences with enough kana count as Japanese."""
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
