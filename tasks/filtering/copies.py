"""Find duplicates among the candidates: equal texts by id, near-duplicates by band hashes."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from tasks import progress
from tasks.corpus.duplicates import near_places
from tasks.filtering.candidates import Candidates


def equal(pool: Candidates, refuse: Callable[[int, int], None]) -> NDArray[np.int64]:
    """Indices sorted by id, one per id. `refuse(duplicate, kept)` is called for every other candidate."""
    order = pool.order()
    ids = pool.facts["id"][order]
    first = np.r_[True, ids[1:] != ids[:-1]] if len(ids) else np.zeros(0, bool)
    stays = order[first][np.cumsum(first) - 1] if len(ids) else order
    for place, kept in zip(order[~first], stays[~first], strict=True):
        refuse(int(place), int(kept))
    return order[first]


def near(pool: Candidates, unique: NDArray[np.int64], refuse: Callable[[int, int, float], None], *, threshold: float) -> Iterator[int]:
    """Yield the indices of `unique` without near-duplicates. `refuse(duplicate, kept, similarity)` is called for each near-duplicate."""
    sketches = pool.sketches(unique)
    found = near_places(sketches, lambda rank: pool.shingles(int(unique[rank])), threshold=threshold)
    gone = np.zeros(len(unique), bool)
    for rank, other, similarity in progress.track(found, unit="copy", label="collect: copies"):
        gone[rank] = True
        refuse(int(unique[rank]), int(unique[other]), similarity)
    yield from map(int, unique[~gone])
