"""Find duplicate and near-duplicate texts.

Similarity is the Jaccard similarity of shingles: runs of three words, or of four characters in Chinese. Prompts of one sentence
that differ only in topic or length stay below 0.8. rensa's MinHash selects candidate pairs; exact sets decide.

Only the band hashes of each text are stored, four bytes each, in a matrix that may be on disk: 120 MB for a million texts. The
texts are read again when two of them share a band.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from tasks.text.unicode import normalized

SHINGLE = {"en": 3, "zh": 4}  # tokens
BUCKET = 64  # kept texts per band hash with which a further text is compared
_ASCII = re.compile("[0-9a-z]+")  # equal to `_TOKEN` for ASCII in lower case
_TOKEN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")
_ODD = np.uint64(0x9E3779B97F4A7C15)

Bands = NDArray[np.uint32]  # (texts, bands)


class Text(NamedTuple):
    """The id and the shingles of a text."""

    id: str
    shingles: frozenset[str]


class Match(NamedTuple):
    """The earlier text that a text repeats."""

    id: str  # of the earlier text
    similarity: float  # Jaccard, 0 to 1


def normal(text: str) -> str:
    """The text in NFC, casefolded, with white space collapsed. Rows with equal normal forms are the same prompt."""
    return " ".join(normalized("NFC", text).casefold().split())


def text_id(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the normal form."""
    return sha256(normal(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def tokens_of(text: str) -> list[str]:
    """Words, and single Chinese characters, without punctuation and case."""
    if text.isascii():
        return _ASCII.findall(text.lower())
    return _TOKEN.findall(normalized("NFKC", text).casefold())


def runs(tokens: Sequence[str], size: int) -> Iterator[str]:
    """Every run of `size` tokens, joined by spaces; one run of all tokens if there are fewer."""
    if len(tokens) <= size:
        return iter((" ".join(tokens),))
    return map(" ".join, zip(*(tokens[start:] for start in range(size)), strict=False))


def shingled(text: str, language: str) -> Text:
    """The text with its id and shingles."""
    return Text(text_id(text), shingles_of(text, language))


def shingles_of(text: str, language: str) -> frozenset[str]:
    """The shingles of a text. Languages other than Chinese use runs of three words."""
    return frozenset(runs(tokens_of(text), SHINGLE.get(language, SHINGLE["en"])))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """|A ∩ B| / |A ∪ B|; 1 for two empty sets."""
    shared = len(one & other)
    union = len(one) + len(other) - shared
    return shared / union if union else 1.0


def shape(threshold: float) -> tuple[int, int]:
    """The number of bands and of hashes per band. A pair of similarity 0.8 is missed once in 100,000; low thresholds need short bands."""
    return (30, 5) if threshold >= 0.7 else (75, 2)


def bands(shingles: Sequence[frozenset[str]], *, threshold: float) -> Bands:
    """The band hashes of each text, shape (texts, bands). Two texts that share a hash in the same band are a candidate pair."""
    number, rows = shape(threshold)
    if not shingles:
        return np.zeros((0, number), np.uint32)
    digests = RMinHash.digest_matrix_from_token_sets([list(one) for one in shingles], number * rows, 1)
    values = np.asarray(digests.to_rows(), np.uint64).reshape(len(shingles), number, rows)
    mixed = np.full((len(shingles), number), 14695981039346656037, np.uint64)
    for row in range(rows):
        mixed = (mixed ^ values[:, :, row]) * _ODD
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(32)).astype(np.uint32)


def near_places(sketches: Bands, shingles: Callable[[int], frozenset[str]], *, threshold: float) -> Iterator[tuple[int, int, float]]:
    """Yield (duplicate, kept, similarity): indices of texts that are near an earlier text which is kept.

    `sketches`: band hashes in order of precedence. `shingles` is called only for texts that share a band with another; these are few.
    """
    recent = lru_cache(maxsize=20_000)(shingles)
    kept: dict[int, list[int]] = {}
    sizes = np.zeros(len(sketches), np.uint32)  # sizes of the shingle sets that were read
    for place, buckets in _meeting(sketches):
        near = None
        mine = recent(place)
        sizes[place] = size = len(mine)
        for other in sorted({other for bucket in buckets for other in kept.get(bucket, ())}):
            if min(size, sizes[other]) / max(size, sizes[other]) < threshold:  # the sizes exclude similarity
                continue
            similarity = jaccard(recent(other), mine)
            if similarity >= threshold:
                near = place, other, similarity
                break
        if near:
            yield near
            continue
        for bucket in buckets:
            if len(known := kept.setdefault(bucket, [])) < BUCKET:
                known.append(place)


def _meeting(sketches: Bands) -> Iterator[tuple[int, list[int]]]:
    """Indices of texts that share a band with another text, in order, with their buckets. Memory: one band plus about 8 bytes per hit."""
    places, numbers = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint8)]
    for band in range(sketches.shape[1]):
        shared = _shared(np.asarray(sketches[:, band]))
        places.append(shared.astype(np.uint32))
        numbers.append(np.full(len(shared), band, np.uint8))
    where, which = np.concatenate(places), np.concatenate(numbers)
    order = np.argsort(where, kind="stable")
    where, which = where[order], which[order]
    edges = [0, *(np.flatnonzero(where[1:] != where[:-1]) + 1), len(where)] if len(where) else []
    for start, stop in pairwise(edges):
        place = int(where[start])
        yield place, [int(band) << 32 | int(sketches[place, band]) for band in which[start:stop]]


def _shared(values: NDArray[np.uint32]) -> NDArray[Any]:
    """Indices of values that occur more than once."""
    if not len(values):
        return np.zeros(0, np.int64)
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    same = ranked[1:] == ranked[:-1]
    return order[np.r_[same, False] | np.r_[False, same]]


def near_duplicates(texts: Sequence[Text], *, threshold: float) -> dict[str, Match]:
    """The ids of near-duplicates, each with the earlier text that is kept. `texts`: in order of precedence."""
    sketches = bands([text.shingles for text in texts], threshold=threshold)
    found = near_places(sketches, lambda place: texts[place].shingles, threshold=threshold)
    return {texts[place].id: Match(texts[other].id, similarity) for place, other, similarity in found}
