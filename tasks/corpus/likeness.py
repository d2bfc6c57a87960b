"""Find prompts that repeat a benchmark prompt, and prompts that nearly repeat another prompt of the same data."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tasks.corpus.contamination import BenchmarkIndex
from tasks.corpus.duplicates import shingled, tokens_of
from tasks.corpus.near_copies import SketchStore, sketch
from tasks.schema.params import Collect
from tasks.sources import reading

NEAR = 0.8  # Jaccard similarity of shingles
BATCH = 1000  # prompts that are hashed together
Scored = Callable[[str, str], str | None]  # (prompt, language) -> evidence of the benchmark prompt that it repeats, or None


def scored_on(benchmark: Path, folder: Path, collect: Collect) -> Scored:
    """A check against every prompt of the benchmark and of `collect.decontaminate`. Raises BadInput if a prompt cannot be read."""
    texts = [ask.text for ask in reading.raw_prompts_of(reading.plain(benchmark))]
    return repeats([*texts, *(ask.text for entry in collect.decontaminate for ask in reading.raw_prompts(entry, folder))])


def repeats(prompts: Sequence[str]) -> Scored:
    """A check whether a prompt repeats one of `prompts`."""
    known = BenchmarkIndex(prompts)

    def repeated(request: str, language: str) -> str | None:
        match = known.match(shingled(request, language), tokens_of(request))
        return f"{match.share:.0%} of benchmark prompt {match.id}" if match else None

    return repeated


class Requests:
    """Prompts that are compared with each other. Memory has about 50 bytes per prompt; sketches are on disk."""

    def __init__(self, folder: Path | None = None):
        """`folder`: for temporary files, which are removed with this object. None: the system's temporary folder."""
        self._sketches = SketchStore(folder, threshold=NEAR)
        self._rows, self._ids = array("q"), array("Q")
        self._waiting: list[frozenset[str]] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, row: int, text: str, language: str) -> None:
        """Add a prompt. `row`: its number in the data, from 0."""
        one = shingled(text, language)
        self._rows.append(row)
        self._ids.append(int(one.id, 16))
        self._waiting.append(one.shingles)
        if len(self._waiting) >= BATCH:
            self._sketch()

    def copies(self) -> Iterator[tuple[int, int, float]]:
        """Yield (row, earlier row, similarity) for rows that repeat an earlier row: equal ones first, then near ones."""
        self._sketch()
        ids = np.asarray(self._ids, np.uint64)
        _, first, which = np.unique(ids, return_index=True, return_inverse=True)
        stays = first[which]
        for place in np.flatnonzero(stays != np.arange(len(ids))):
            yield self._rows[place], self._rows[stays[place]], 1.0
        for near, other, similarity in self._sketches.near(np.sort(first)):
            yield self._rows[near], self._rows[other], similarity

    def _sketch(self) -> None:
        self._sketches.add(sketch(self._waiting, threshold=NEAR))
        self._waiting.clear()
