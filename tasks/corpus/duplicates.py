"""Texts that are the same, or nearly: within the pool, and against the benchmark.

Nearness is the Jaccard similarity of shingles: runs of three words, or of four characters in Chinese. Asks of one
sentence that differ only in their topic or their length stay under 0.8. rensa's MinHash finds the candidates, exact
sets decide.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from rensa import RMinHash, RMinHashLSH

SHINGLE = {"en": 3, "zh": 4}  # tokens
CONTAINED = 0.9  # share of a benchmark prompt's shingles in a text, from which the text holds the prompt
PERMUTATIONS = 150
_TOKEN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")


class Text(NamedTuple):
    """A text with what it is compared by."""

    id: str
    shingles: frozenset[str]


class Match(NamedTuple):
    id: str  # of the text that was there before
    similarity: float


def normal(text: str) -> str:
    """NFC, casefolded, white space collapsed: what makes two rows the same ask."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def text_id(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the normal form."""
    return sha256(normal(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def shingled(text: str, language: str) -> Text:
    """A text ready to compare. Punctuation and case do not count; a text shorter than a shingle is one."""
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())
    size = SHINGLE.get(language, SHINGLE["en"])
    runs = (tokens[start : start + size] for start in range(max(1, len(tokens) - size + 1)))
    return Text(text_id(text), frozenset(" ".join(run) for run in runs))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """|A ∩ B| / |A ∪ B|; 1 for two empty sets."""
    union = len(one | other)
    return len(one & other) / union if union else 1.0


def near_duplicates(texts: Sequence[Text], *, threshold: float) -> dict[str, Match]:
    """The ids of texts that are nearly an earlier one that stays, with that one. `texts` come in the order of precedence."""
    # 5 rows a band find a pair of similarity 0.8 but once in 100,000 misses; low thresholds need shorter bands.
    index = RMinHashLSH(threshold, PERMUTATIONS, 30 if threshold >= 0.7 else 75)
    kept: list[Text] = []
    found: dict[str, Match] = {}
    for text in texts:
        sketch = RMinHash(PERMUTATIONS, 1)
        sketch.update(sorted(text.shingles))
        matches = (Match(kept[place].id, jaccard(kept[place].shingles, text.shingles)) for place in index.query(sketch))
        best = max(matches, key=lambda match: (match.similarity, match.id), default=None)
        if best and best.similarity >= threshold:
            found[text.id] = best
        else:
            index.insert(len(kept), sketch)
            kept.append(text)
    return found


class Benchmark:
    """The prompts that no training text may repeat."""

    def __init__(self, prompts: Sequence[Text]) -> None:
        self._prompts = list(prompts)
        self._holders: dict[str, list[int]] = defaultdict(list)
        for place, prompt in enumerate(self._prompts):
            for shingle in prompt.shingles:
                self._holders[shingle].append(place)

    def match(self, text: Text, *, threshold: float) -> Match | None:
        """The prompt that `text` is nearly, or that it holds nearly whole. Exact: every shared shingle is counted."""
        shared = Counter(place for shingle in text.shingles for place in self._holders.get(shingle, ()))
        for place, count in shared.most_common():
            prompt = self._prompts[place]
            near, held = count / (len(prompt.shingles) + len(text.shingles) - count), count / len(prompt.shingles)
            if near >= threshold or held >= CONTAINED or prompt.id == text.id:
                return Match(prompt.id, max(near, held))
        return None
