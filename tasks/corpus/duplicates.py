"""Compare two texts: by the id of their normal form, and by their shingles.

Similarity is the Jaccard similarity of shingles: runs of three words, or of four characters in Chinese. Prompts of one sentence
that differ only in topic or length stay below 0.8. near_copies.py finds the near-duplicates among many texts.
"""

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from tasks.text.unicode import normalized

SHINGLE = {"en": 3, "zh": 4}  # tokens
_ASCII = re.compile("[0-9a-z]+")  # equal to `_TOKEN` for ASCII in lower case
_TOKEN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")


class ShingledText(NamedTuple):
    """The id and the shingles of a text."""

    id: str
    shingles: frozenset[str]


def normal(text: str) -> str:
    """The text in NFC, casefolded, with white space collapsed. Rows with equal normal forms are the same prompt."""
    return " ".join(normalized("NFC", text).casefold().split())


def text_id(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the normal form."""
    return sha256(normal(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def tokens_of(text: str) -> list[str]:
    """Words, and single Chinese characters, without punctuation and case."""
    if text.isascii():
        return _ASCII.findall(text.lower())
    return _TOKEN.findall(normalized("NFKC", text).casefold())


def runs(tokens: Sequence[str], size: int) -> Iterator[str]:
    """Every run of `size` tokens, joined by spaces; one run of all tokens if there are fewer."""
    if len(tokens) <= size:
        return iter((" ".join(tokens),))
    return map(" ".join, zip(*(tokens[start:] for start in range(size)), strict=False))


def shingled(text: str, language: str) -> ShingledText:
    """The text with its id and shingles."""
    return ShingledText(text_id(text), shingles_of(text, language))


def shingles_of(text: str, language: str) -> frozenset[str]:
    """The shingles of a text. Languages other than Chinese use runs of three words."""
    return frozenset(runs(tokens_of(text), SHINGLE.get(language, SHINGLE["en"])))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """|A ∩ B| / |A ∪ B|; 1 for two empty sets."""
    shared = len(one & other)
    union = len(one) + len(other) - shared
    return shared / union if union else 1.0
