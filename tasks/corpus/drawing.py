"""Draw a balanced subset of the selected prompts by hash. The order of rows and files does not change the result."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import zip_longest
from typing import NamedTuple


class DrawablePrompt(NamedTuple):
    """A selected prompt, reduced to the fields that the draw needs."""

    id: str
    language: str
    words: int  # the requested length, or the selector's estimate
    topic: str
    place: int = 0  # position of the full row


_BALANCED: tuple[Callable[[DrawablePrompt], object], ...] = (
    lambda fit: fit.language,
    lambda fit: fit.words.bit_length(),
    lambda fit: fit.topic,
)


def draw(pool: Sequence[DrawablePrompt], *, count: int, seed: int) -> list[DrawablePrompt]:
    """At most `count` elements of `pool`, sorted by id.

    Elements are taken in turn from each language, within a language from each length band (powers of two), within a band from each
    topic. The turns of an empty group go to the other groups. Within a topic the order is sha256("seed:id").
    """
    return sorted(_order(pool, _BALANCED, seed)[:count], key=lambda fit: fit.id)


def _order(pool: Sequence[DrawablePrompt], keys: Sequence[Callable[[DrawablePrompt], object]], seed: int) -> list[DrawablePrompt]:
    if not keys:
        return sorted(pool, key=lambda fit: _rank(seed, fit.id))
    groups: dict[object, list[DrawablePrompt]] = defaultdict(list)
    for fit in pool:
        groups[keys[0](fit)].append(fit)
    # The order of groups matters only in the last, incomplete turn. The hash prevents that the same group always benefits.
    orders = [_order(groups[key], keys[1:], seed) for key in sorted(groups, key=lambda key: _rank(seed, str(key)))]
    return [fit for turn in zip_longest(*orders) for fit in turn if fit is not None]


def _rank(seed: int, identity: str) -> str:
    return sha256(f"{seed}:{identity}".encode()).hexdigest()
