"""Which of many texts are nearly an earlier one: MinHash bands find the pairs that are worth a look, exact sets decide.

A text is sketched once, where it is read, on any core or machine (`sketch`). What is kept of it lies on disk (`SketchStore`): the
hashes of its bands, a bitmap of its shingles and the shingles' hashes. The join (`SketchStore.near`) works on arrays: it sorts each band,
compares every text with the earlier ones that it shares a band with, and drops by size and bitmap the pairs that cannot be near.
Memory has some bytes for each text and for each band that two texts share; it does not grow with the length of the texts.
"""

import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

BUCKET = 64  # texts of one band that stay, with which a later one is compared
BLOCK = 1_024  # texts that are compared with the earlier ones at once
PAIRS = 100_000  # pairs of bitmaps that are compared at once
SETS = 5_000  # sets of hashes that are remembered
WORDS = 8  # of a bitmap, 64 bits each
_ODD = np.uint64(0x9E3779B97F4A7C15)

Places = NDArray[np.int64]
N = TypeVar("N", bound=np.generic)


class Sketches(NamedTuple):
    """What texts are compared by, in their order."""

    bands: NDArray[np.uint32]  # (texts, bands): two texts that share one in its column may be near
    marks: NDArray[np.uint64]  # (texts, WORDS): one bit for each shingle's hash
    sizes: NDArray[np.int32]  # (texts): shingles
    hashes: NDArray[np.uint64]  # of all shingles, text after text

    def take(self, places: Places) -> Self:
        """Those at these places, in this order."""
        starts = np.cumsum(self.sizes, dtype=np.int64) - self.sizes
        sizes = self.sizes[places]
        return type(self)(self.bands[places], self.marks[places], sizes, self.hashes[_spans(starts[places], sizes)])


class Near(NamedTuple):
    place: int
    other: int  # the earlier text
    similarity: float  # Jaccard's


def shape(threshold: float) -> tuple[int, int]:
    """How many bands, of how many hashes each: a pair of similarity 0.8 is missed once in 100,000; low thresholds need shorter bands."""
    return (30, 5) if threshold >= 0.7 else (75, 2)


def sketch(shingles: Sequence[frozenset[str]], *, threshold: float) -> Sketches:
    """Sketches of these sets, for a join at this threshold."""
    number, rows = shape(threshold)
    sizes = np.fromiter(map(len, shingles), np.int32, len(shingles))
    if not shingles:
        return Sketches(np.zeros((0, number), np.uint32), np.zeros((0, WORDS), np.uint64), sizes, np.zeros(0, np.uint64))
    hashed = RMinHash.hash_token_sets([list(one) for one in shingles])
    hashes = np.fromiter((value for one in hashed for value in one), np.uint64, int(sizes.sum()))
    digests = RMinHash.digest_matrix_from_token_hash_sets(hashed, number * rows, 1)
    values = np.asarray(digests.to_rows(), np.uint64).reshape(len(shingles), number, rows)
    mixed = np.full((len(shingles), number), 14695981039346656037, np.uint64)
    for row in range(rows):
        mixed = (mixed ^ values[:, :, row]) * _ODD
        mixed ^= mixed >> np.uint64(29)
    return Sketches((mixed >> np.uint64(32)).astype(np.uint32), _marks(hashes, sizes), sizes, hashes)


def _marks(hashes: NDArray[np.uint64], sizes: NDArray[np.int32]) -> NDArray[np.uint64]:
    marks = np.zeros((len(sizes), WORDS), np.uint64)
    owners = np.repeat(np.arange(len(sizes)), sizes)
    words = ((hashes >> np.uint64(6)) % np.uint64(WORDS)).astype(np.int64)
    np.bitwise_or.at(marks, (owners, words), np.uint64(1) << (hashes & np.uint64(63)))
    return marks


class SketchStore:
    """Sketches on disk, in files that are gone with this object: added in any number of parts, then joined."""

    def __init__(self, folder: Path | None, *, threshold: float) -> None:
        """`folder`: where the files are; None: the system's folder for such files."""
        self._threshold = threshold
        self._bands, self._marks, self._hashes = (tempfile.TemporaryFile(dir=folder) for _ in range(3))  # noqa: SIM115 (see close)
        self._sizes = [np.zeros(0, np.int32)]

    def close(self) -> None:
        for file in (self._bands, self._marks, self._hashes):
            file.close()

    def add(self, sketches: Sketches) -> None:
        """Sketches that follow those added before."""
        self._bands.write(np.ascontiguousarray(sketches.bands, np.uint32).tobytes())
        self._marks.write(np.ascontiguousarray(sketches.marks, np.uint64).tobytes())
        self._hashes.write(np.ascontiguousarray(sketches.hashes, np.uint64).tobytes())
        self._sizes.append(sketches.sizes.astype(np.int32))

    def near(self, places: Places) -> Iterator[Near]:
        """The texts that are near one that comes before them in `places` and is near none itself, each with the first such text."""
        if not len(places):
            return
        self._sizes = [np.concatenate(self._sizes)]
        number, _ = shape(self._threshold)
        count = len(self._sizes[0])
        found = _Join(
            _mapped(self._bands, np.uint32, (count, number)),
            _mapped(self._marks, np.uint64, (count, WORDS)),
            self._sizes[0],
            _mapped(self._hashes, np.uint64, (int(self._sizes[0].sum(dtype=np.int64)),)),
            places,
            self._threshold,
        ).run()
        for rank, other, similarity in found:
            yield Near(int(places[rank]), int(places[other]), similarity)


def _mapped(file: IO[bytes], kind: type[N], shape_: tuple[int, ...]) -> NDArray[N]:
    file.flush()
    return np.memmap(file, kind, "r", shape=shape_).view(np.ndarray) if all(shape_) else np.zeros(shape_, kind)


class _Join:
    """One join. Ranks are indices of `places`: the order in which texts take precedence."""

    def __init__(
        self,
        bands: NDArray[np.uint32],
        marks: NDArray[np.uint64],
        sizes: NDArray[np.int32],
        hashes: NDArray[np.uint64],
        places: Places,
        threshold: float,
    ) -> None:
        self._marks, self._hashes, self._places, self._threshold = marks, hashes, places, threshold
        starts = np.cumsum(sizes, dtype=np.int64) - sizes
        self._sizes, self._starts = sizes[places], starts[places]
        self._ranks, self._buckets, number = _meetings(bands, places)
        room = np.minimum(np.bincount(self._buckets, minlength=number), BUCKET)
        self._first = np.cumsum(room) - room  # of each bucket's slots
        self._slots = np.zeros(int(room.sum()), np.uint32)  # ranks that stay
        self._filled = np.zeros(number, np.uint8)
        self._set = lru_cache(maxsize=SETS)(self._hash_set)

    def run(self) -> Iterator[tuple[int, int, float]]:
        """Rank, earlier rank and similarity, in the order of the ranks."""
        new = np.flatnonzero(np.r_[True, self._ranks[1:] != self._ranks[:-1]]) if len(self._ranks) else np.zeros(0, np.int64)
        edges = np.r_[new, len(self._ranks)]
        for begin in range(0, len(new), BLOCK):
            yield from self._block(edges[begin : begin + BLOCK + 1])

    def _block(self, edges: Places) -> Iterator[tuple[int, int, float]]:
        """Compare some texts with those that stay of the blocks before, then with those that stay of this one."""
        ranks, buckets = self._ranks[edges[0] : edges[-1]], self._buckets[edges[0] : edges[-1]]
        near = self._near_before(ranks, buckets)
        free = (BUCKET - self._filled[buckets].astype(np.int64)).tolist()
        named, fresh = buckets.tolist(), dict[int, list[int]]()
        for start, stop in zip((edges[:-1] - edges[0]).tolist(), (edges[1:] - edges[0]).tolist(), strict=True):
            rank, own = int(ranks[start]), named[start:stop]
            found = near.get(rank) or self._near_here(rank, own, fresh)
            if found:
                yield rank, *found
                continue
            for bucket, room in zip(own, free[start:stop], strict=True):
                if len(known := fresh.setdefault(bucket, [])) < room:
                    known.append(rank)
        self._keep(fresh)

    def _near_before(self, ranks: NDArray[np.uint32], buckets: NDArray[np.int32]) -> dict[int, tuple[int, float]]:
        filled = self._filled[buckets]
        mine = np.repeat(ranks, filled)
        theirs = self._slots[_spans(self._first[buckets], filled.astype(np.int32))]
        keys = np.unique(self._likely(mine, theirs))
        found: dict[int, tuple[int, float]] = {}
        for rank, other in zip((keys >> np.uint64(32)).tolist(), (keys & np.uint64(0xFFFFFFFF)).tolist(), strict=True):
            if rank not in found and (similarity := self._similarity(rank, other)) >= self._threshold:
                found[rank] = other, similarity
        return found

    def _near_here(self, rank: int, buckets: Sequence[int], fresh: dict[int, list[int]]) -> tuple[int, float] | None:
        others = sorted({other for bucket in buckets for other in fresh.get(bucket, ())})
        if not others:
            return None
        theirs = np.array(others, np.uint32)
        for key in self._likely(np.full(len(others), rank, np.uint32), theirs).tolist():
            if (similarity := self._similarity(rank, key & 0xFFFFFFFF)) >= self._threshold:
                return key & 0xFFFFFFFF, similarity
        return None

    def _likely(self, mine: NDArray[np.uint32], theirs: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """The pairs that may be near, as `mine << 32 | theirs`: what is shared is at most what sizes and bitmaps leave."""
        left = []
        for start in range(0, len(mine), PAIRS):
            one, other = mine[start : start + PAIRS], theirs[start : start + PAIRS]
            fits = self._bounded(np.minimum(self._sizes[one], self._sizes[other]), one, other)
            one, other = one[fits], other[fits]
            marks, others = self._marks[self._places[one]], self._marks[self._places[other]]
            apart = np.bitwise_count(marks & ~others).sum(1, dtype=np.int32)
            back = np.bitwise_count(others & ~marks).sum(1, dtype=np.int32)
            fits = self._bounded(np.minimum(self._sizes[one] - apart, self._sizes[other] - back), one, other)
            left.append(one[fits].astype(np.uint64) << np.uint64(32) | other[fits])
        return np.concatenate(left) if left else np.zeros(0, np.uint64)

    def _bounded(self, shared: NDArray[np.int32], one: NDArray[np.uint32], other: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Whether pairs that share at most so many shingles can be near."""
        fits: NDArray[np.bool_] = shared / np.maximum(self._sizes[one] + self._sizes[other] - shared, 1) >= self._threshold
        return fits

    def _similarity(self, rank: int, other: int) -> float:
        """|A ∩ B| / |A ∪ B|; 1 for two empty sets."""
        one, two = self._set(rank), self._set(other)
        shared = len(one & two)
        union = len(one) + len(two) - shared
        return shared / union if union else 1.0

    def _hash_set(self, rank: int) -> frozenset[int]:
        start = int(self._starts[rank])
        return frozenset(self._hashes[start : start + int(self._sizes[rank])].tolist())

    def _keep(self, fresh: dict[int, list[int]]) -> None:
        """Write the ranks that stay of a block to their buckets' slots."""
        if not fresh:
            return
        buckets = np.fromiter(fresh, np.int64, len(fresh))
        counts = np.fromiter(map(len, fresh.values()), np.int32, len(fresh))
        ranks = np.fromiter((rank for own in fresh.values() for rank in own), np.uint32, int(counts.sum()))
        self._slots[_spans(self._first[buckets] + self._filled[buckets], counts)] = ranks
        self._filled[buckets] += counts.astype(np.uint8)


def _meetings(bands: NDArray[np.uint32], places: Places) -> tuple[NDArray[np.uint32], NDArray[np.int32], int]:
    """Ranks that share a band with another, in their order, with the number of that bucket; and how many buckets there are."""
    ranks, buckets, known = list[NDArray[np.uint32]](), list[NDArray[np.int32]](), 0
    for band in range(bands.shape[1]):
        values = np.asarray(bands[:, band])[places]
        order = np.argsort(values, kind="stable")
        ranked = values[order]
        same = ranked[1:] == ranked[:-1]
        shared = np.r_[same, False] | np.r_[False, same]
        first = shared & ~np.r_[False, same]
        ranks.append(order[shared].astype(np.uint32))
        buckets.append((np.cumsum(first)[shared] + (known - 1)).astype(np.int32))
        known += int(first.sum())
    all_ranks = np.concatenate(ranks)
    order = np.argsort(all_ranks, kind="stable")
    return all_ranks[order], np.concatenate(buckets)[order], known


def _spans(starts: NDArray[np.integer], sizes: NDArray[np.int32]) -> Places:
    """The indices of several stretches, one after the other."""
    ends = np.cumsum(sizes, dtype=np.int64)
    return np.repeat(starts - (ends - sizes), sizes) + np.arange(int(ends[-1]) if len(ends) else 0)
