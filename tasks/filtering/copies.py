"""Find duplicates among the candidates: equal texts by id, near-duplicates by their sketches."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from tasks import progress
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


def near(pool: Candidates, unique: NDArray[np.int64], refuse: Callable[[int, int, float], None]) -> Iterator[int]:
    """Yield the indices of `unique` without near-duplicates. `refuse(duplicate, kept, similarity)` is called for each near-duplicate."""
    gone = set[int]()
    for place, other, similarity in progress.track(pool.sketches.near(unique), unit="copy", label="collect: copies"):
        gone.add(place)
        refuse(place, other, similarity)
    yield from (place for place in unique.tolist() if place not in gone)
