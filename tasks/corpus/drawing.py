"""Which asks are taken when there are more than wanted: balanced, by a hash, whatever the order of rows and their files."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import zip_longest
from typing import Any, NamedTuple


class Fit(NamedTuple):
    """An ask that the selector wants, as light as the draw needs it."""

    id: str
    language: str
    words: int  # asked for, or the selector's word
    topic: str
    place: int = 0  # where the rest of it is


_BALANCED: tuple[Callable[[Fit], Any], ...] = (lambda fit: fit.language, lambda fit: fit.words.bit_length(), lambda fit: fit.topic)


def draw(pool: Sequence[Fit], *, count: int, seed: int) -> list[Fit]:
    """At most `count` of `pool`, by id: in turn from each language, of a language from each octave of length, of that from each topic.

    A group that is used up leaves its turns to the others. Within the last groups the order is that of sha256(seed, id).
    """
    return sorted(_order(pool, _BALANCED, seed)[:count], key=lambda fit: fit.id)


def _order(pool: Sequence[Fit], keys: Sequence[Callable[[Fit], Any]], seed: int) -> list[Fit]:
    if not keys:
        return sorted(pool, key=lambda fit: _rank(seed, fit.id))
    groups: dict[Any, list[Fit]] = defaultdict(list)
    for fit in pool:
        groups[keys[0](fit)].append(fit)
    # Which group comes first in a turn matters for the last turn alone; by a hash, no group is always favoured.
    orders = [_order(groups[key], keys[1:], seed) for key in sorted(groups, key=lambda key: _rank(seed, str(key)))]
    return [fit for turn in zip_longest(*orders) for fit in turn if fit is not None]


def _rank(seed: int, identity: str) -> str:
    return sha256(f"{seed}:{identity}".encode()).hexdigest()
