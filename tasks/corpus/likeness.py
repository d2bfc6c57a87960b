"""Which requests repeat a prompt that is scored on, and which are nearly another request of the same data: as evidence, or None."""

import os
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks import store
from tasks.corpus.contamination import Prompts
from tasks.corpus.duplicates import Bands, bands, near_places, shape, shingled, shingles_of, tokens_of
from tasks.schema.params import Collect
from tasks.schema.records import Record
from tasks.sources import reading

NEAR = 0.8  # Jaccard similarity of shingles
BATCH = 1000  # requests that are hashed at once
Scored = Callable[[str, str], str | None]  # from a request and its language to the benchmark prompt that it repeats


def scored_on(benchmark: Path, folder: Path, collect: Collect) -> Scored:
    """Knows every prompt of the benchmark and of `collect.decontaminate`. Raises BadInput for one that cannot be read."""
    texts = [ask.text for ask in reading.asks_of(reading.plain(benchmark))]
    return repeats([*texts, *(ask.text for entry in collect.decontaminate for ask in reading.asks(entry, folder))])


def repeats(prompts: Sequence[str]) -> Scored:
    known = Prompts(prompts)

    def repeated(request: str, language: str) -> str | None:
        match = known.match(shingled(request, language), tokens_of(request))
        return f"{match.share:.0%} of benchmark prompt {match.id}" if match else None

    return repeated


class _Asked(Record):
    text: str
    language: str


class Requests:
    """Requests that are compared with one another: memory holds 48 bytes of each; its text and the hashes of its bands are on disk."""

    def __init__(self, folder: Path | None = None):
        """`folder`: where the two files are, which are removed with this object; None: the system's folder for such files."""
        self._sketches = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed, and so removed, with this object)
        self._asked = store.Spool(folder)
        self._rows, self._ids = array("q"), array("Q")
        self._waiting: list[frozenset[str]] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, row: int, text: str, language: str) -> None:
        """`row`: its number in its data, from 0."""
        one = shingled(text, language)
        self._asked.put(len(self), _Asked(text=text, language=language))
        self._rows.append(row)
        self._ids.append(int(one.id, 16))
        self._waiting.append(one.shingles)
        if len(self._waiting) >= BATCH:
            self._sketch()

    def copies(self) -> Iterator[tuple[int, int, float]]:
        """Rows that repeat an earlier one, or nearly, each with that row and their similarity: equal ones first."""
        self._sketch()
        ids = np.asarray(self._ids, np.uint64)
        _, first, which = np.unique(ids, return_index=True, return_inverse=True)
        stays = first[which]
        for place in np.flatnonzero(stays != np.arange(len(ids))):
            yield self._rows[place], self._rows[stays[place]], 1.0
        places = np.sort(first)
        near = near_places(self._ordered(places), lambda rank: self._shingles(int(places[rank])), threshold=NEAR)
        for rank, other, similarity in near:
            yield self._rows[places[rank]], self._rows[places[other]], similarity

    def _shingles(self, place: int) -> frozenset[str]:
        """Of a request that may be near another one."""
        asked = self._asked.at(place, _Asked)
        return shingles_of(asked.text, asked.language)

    def _sketch(self) -> None:
        self._sketches.seek(0, os.SEEK_END)
        self._sketches.write(bands(self._waiting, threshold=NEAR).tobytes())
        self._sketches.flush()
        self._waiting.clear()

    def _ordered(self, places: NDArray[np.int64]) -> Bands:
        """The hashes of these, in their order."""
        number, _ = shape(NEAR)
        if not len(places):
            return np.zeros((0, number), np.uint32)
        whole: Bands = np.memmap(self._sketches, np.uint32, "r", shape=(len(self), number))
        return whole if len(places) == len(self) else whole[places]
