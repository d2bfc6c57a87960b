"""Find training prompts that repeat a benchmark prompt: exactly, in part, with some other words, or inside a longer prompt.

Tokens are weighted by inverse frequency among the benchmark prompts: common words count little, topic words most. All numbers are one
token, because a prompt with another length is the same prompt. Shared shingles select candidate pairs, and an alignment of tokens
decides: a training prompt repeats a benchmark prompt if it contains enough of its weight, in the same order. The threshold is 0.8 for
a prompt of one sentence, because the same sentence with another topic is another prompt, and 0.62 for a longer one.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from math import log
from typing import NamedTuple

from tasks.corpus.duplicates import SHINGLE, ShingledText, runs, text_id, tokens_of

LONG = 30  # tokens from which a benchmark prompt counts as longer than a sentence
HELD, HELD_LONG = 0.8, 0.62  # share of a benchmark prompt's weight that makes a match; the second for long prompts
PART, ALL_BUT = 0.5, 0.9  # a smaller share that also makes a match if this share of the training prompt's tokens is aligned
LOOK, LOOK_LONG = 0.2, 0.1  # share of a benchmark prompt's shingles from which the two prompts are aligned
_NUMBER = re.compile(r"\d|[零〇一二两三四五六七八九十百千万]")


class Match(NamedTuple):
    """The benchmark prompt that a training prompt repeats."""

    id: str  # of the benchmark prompt
    share: float  # of the benchmark prompt's weight that the training prompt contains, 0 to 1


class _Prompt(NamedTuple):
    id: str
    tokens: tuple[str, ...]
    shingles: frozenset[str]
    sizes: Counter[int]  # number of shingles for each shingle size in tokens


class BenchmarkIndex:
    """The benchmark prompts, indexed by shingle. Empty texts are ignored; prompts that differ only in numbers are one."""

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

    def match(self, text: ShingledText, tokens: Sequence[str]) -> Match | None:
        """The benchmark prompt that a training prompt repeats, or None. `tokens`: `tokens_of` the training prompt."""
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
    """A benchmark prompt with shingles of every size, because a training prompt that contains it may have another detected language."""
    shingles = frozenset(run for size in set(SHINGLE.values()) for run in runs(tokens_of(text), size))
    return _Prompt(text_id(text), tokens, shingles, Counter(map(_size, shingles)))


def _plain(tokens: Iterable[str]) -> list[str]:
    """Tokens with each number, or run of numbers, replaced by `#`."""
    plain: list[str] = []
    for token in tokens:
        number = _NUMBER.match(token) is not None
        if not (number and plain and plain[-1] == "#"):
            plain.append("#" if number else token)
    return plain


def _densest(tokens: Sequence[str], wanted: Sequence[str], length: int) -> Sequence[str]:
    """The window of `length` tokens with the most pairs of `wanted`, extended by half of `length` on both sides."""
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
