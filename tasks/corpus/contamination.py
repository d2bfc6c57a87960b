"""Asks that repeat a prompt which the run is scored on: as it is, in part, with other words here and there, or inside a longer ask.

A prompt's tokens weigh what they tell: a word that stands in every prompt says little, its topic says most, and all numbers are
one token, as the same ask for another length is the same ask. Shingles find what is worth a closer look, an alignment of tokens
decides: an ask repeats a prompt when enough of the prompt's weight stands in it, in its order. Of a prompt of a sentence that is four
fifths: with another topic the same sentence is another ask. Of a longer prompt three fifths say more than a sentence does.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from math import log
from typing import NamedTuple

from tasks.corpus.duplicates import SHINGLE, Text, runs, text_id, tokens_of

LONG = 30  # tokens of a prompt that is more than a sentence
HELD, HELD_LONG = 0.8, 0.62  # share of a prompt's weight in the ask
PART, ALL_BUT = 0.5, 0.9  # an ask that holds but this part of a prompt, and hardly anything else
LOOK, LOOK_LONG = 0.2, 0.1  # share of a prompt's shingles in the ask, from which the two are aligned
_NUMBER = re.compile(r"\d|[零〇一二两三四五六七八九十百千万]")


class Match(NamedTuple):
    id: str  # of the prompt
    share: float  # of the prompt's weight that stands in the ask


class _Prompt(NamedTuple):
    id: str
    tokens: tuple[str, ...]
    shingles: frozenset[str]
    sizes: Counter[int]  # how many shingles there are of each number of tokens


class Prompts:
    """The prompts that no training text may repeat."""

    def __init__(self, texts: Iterable[str]) -> None:
        known = {tuple(_plain(tokens_of(text))): text for text in texts if text.strip()}
        self._prompts = [_prompt(text, tokens) for tokens, text in known.items()]
        self._holders: dict[str, list[int]] = defaultdict(list)
        for place, prompt in enumerate(self._prompts):
            for shingle in prompt.shingles:
                self._holders[shingle].append(place)
        self._known = frozenset(self._holders)
        count = Counter(token for prompt in self._prompts for token in set(prompt.tokens))
        self._weights = {token: log(1 + len(self._prompts) / number) for token, number in count.items()}

    def __len__(self) -> int:
        return len(self._prompts)

    def match(self, text: Text, tokens: Sequence[str]) -> Match | None:
        """The prompt that an ask repeats, or None. `tokens`: the ask's, as `tokens_of` has them."""
        shared = Counter(place for shingle in text.shingles & self._known for place in self._holders[shingle])
        plain: list[str] = []
        size = _size(next(iter(text.shingles), ""))
        for place, count in shared.most_common():
            prompt = self._prompts[place]
            if count < (LOOK_LONG if len(prompt.tokens) >= LONG else LOOK) * prompt.sizes[size]:
                continue
            plain = plain or _plain(tokens)
            if (found := self._aligned(prompt, plain)) is not None:
                return found
        return None

    def _aligned(self, prompt: _Prompt, tokens: Sequence[str]) -> Match | None:
        window = _densest(tokens, prompt.tokens, 2 * len(prompt.tokens))
        blocks = SequenceMatcher(None, prompt.tokens, window, autojunk=False).get_matching_blocks()
        matched = sum(self._weights[token] for start, _, length in blocks for token in prompt.tokens[start : start + length])
        whole = sum(self._weights[token] for token in prompt.tokens)
        share, said = matched / whole, sum(block.size for block in blocks) / len(tokens)
        held = HELD_LONG if len(prompt.tokens) >= LONG else HELD
        return Match(prompt.id, share) if share >= held or (share >= PART and said >= ALL_BUT and len(tokens) >= 8) else None


def _size(shingle: str) -> int:
    return shingle.count(" ") + 1


def _prompt(text: str, tokens: tuple[str, ...]) -> _Prompt:
    """With shingles of every size that an ask's may have: its language is told by rules that need not agree on a part."""
    shingles = frozenset(run for size in set(SHINGLE.values()) for run in runs(tokens_of(text), size))
    return _Prompt(text_id(text), tokens, shingles, Counter(map(_size, shingles)))


def _plain(tokens: Iterable[str]) -> list[str]:
    """Tokens with every number as one sign."""
    plain: list[str] = []
    for token in tokens:
        number = _NUMBER.match(token) is not None
        if not (number and plain and plain[-1] == "#"):
            plain.append("#" if number else token)
    return plain


def _densest(tokens: Sequence[str], wanted: Sequence[str], length: int) -> Sequence[str]:
    """The stretch of `length` tokens that holds most of the wanted pairs, with half as much around it."""
    if len(tokens) <= 2 * length:
        return tokens
    pairs = set(pairwise(wanted))
    hits = [pair in pairs for pair in pairwise(tokens)]
    now = best = sum(hits[:length])
    start = 0
    for place in range(length, len(hits)):
        now += hits[place] - hits[place - length]
        if now > best:
            best, start = now, place - length + 1
    return tokens[max(0, start - length // 2) : start + length + length // 2]
