"""A byte-level BPE tokenizer's faster twin: tiktoken over the same merges, several texts at once.

tiktoken takes the merges of tokenizer.json as ranks and its pre-tokenizer's pattern as they are, and is some three times as fast as
the library it twins. Where the two could differ (characters on which regex engines and Unicode versions disagree) a text is `plain` no
longer, and the caller asks the tokenizer itself. Tokenizers of another kind have no twin.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]

# GPT-2's pattern, which ByteLevel uses where it has its own, and the two that single digits need.
GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
DIGITS = r"\p{N}|[^\p{N}]+"
# The end of most patterns: of a run of white space, the last character goes with what follows it. It is the one look-ahead in them, and
# an engine that need not look ahead is half as fast again. It decides nothing in text without such a run; a run that ends in line breaks is
# none where an alternative before takes those whole.
AHEAD, PLAIN, BREAKS = r"|\s+(?!\S)|\s+", r"|\s+", r"|\s*[\r\n]+"
RUN, RUN_BUT_BREAKS = re.compile(r"\s\s"), re.compile(r"\s[^\S\r\n]")
# ASCII, Latin, Greek, Cyrillic, punctuation, kana, Chinese, full-width forms: assigned and classed alike in every Unicode of this decade.
_SURE = "\t\n\r -~\u00a1-\u00ac\u00ae-\u017f\u0391-\u03a1\u03a3-\u03ff\u0410-\u044f\u2010-\u2027\u2030-\u205e\u3000-\u303f"
DOUBTFUL = re.compile(f"[^{_SURE}\u3041-\u3096\u30a1-\u30ff\u4e00-\u9fa5\uff01-\uff5e]")


class Twin:
    """Encodes plain text; special tokens are text to it. Calls run on `threads` threads, outside the interpreter's lock."""

    def __init__(self, ranks: dict[bytes, int], ids: Ids, pattern: str, *, composes: bool, threads: int) -> None:
        import tiktoken

        def encoding(pattern: str) -> tiktoken.Encoding:
            return tiktoken.Encoding("twin", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})

        self._looking = self._quick = encoding(pattern)
        self._looked = re.compile(r"(?!)")  # for what must be there for the look-ahead to decide anything
        if pattern.endswith(AHEAD):
            self._quick = encoding(pattern.removesuffix(AHEAD) + PLAIN)
            self._looked = RUN_BUT_BREAKS if pattern.removesuffix(AHEAD).endswith(BREAKS) else RUN
        self._ids, self._composes = ids, composes
        self._lengths = np.zeros(len(ids), dtype=np.int32)
        for token, rank in ranks.items():
            self._lengths[rank] = len(token)
        self._pool = ThreadPoolExecutor(threads)

    def plain(self, text: str) -> bool:
        """Do the two surely agree on it?"""
        return not DOUBTFUL.search(text) and (not self._composes or unicodedata.is_normalized("NFC", text))

    def encode(self, texts: Sequence[str]) -> list[tuple[Ids, Ids]]:
        """Token ids, and the bytes of each token, of every text."""
        return list(self._pool.map(self._encode, texts))

    def _encode(self, text: str) -> tuple[Ids, Ids]:
        encoding = self._looking if self._looked.search(text) else self._quick
        ranks = encoding.encode_to_numpy(text, disallowed_special=())
        return self._ids[ranks], self._lengths[ranks]


def twin_of(tokenizer: Any, *, threads: int) -> Twin | None:
    """The twin of a transformers tokenizer; None where it is of a kind that has none."""
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        return None
    made = json.loads(tokenizer.backend_tokenizer.to_str())
    model, pattern = made["model"], _pattern(made["pre_tokenizer"])
    normalizer = (made.get("normalizer") or {}).get("type")
    odd = [model.get(key) for key in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")]
    if model["type"] != "BPE" or pattern is None or any(odd) or normalizer not in (None, "NFC"):
        return None
    found = _ranks(model)
    return Twin(*found, pattern, composes=normalizer == "NFC", threads=threads) if found else None


def _pattern(pre: dict[str, Any] | None) -> str | None:
    """The pre-tokenizer as one pattern of tiktoken's; None for what is no such pattern."""
    parts = pre.get("pretokenizers", [pre]) if pre else []
    kinds = [part["type"] for part in parts]
    if not kinds or kinds[-1] != "ByteLevel" or parts[-1]["add_prefix_space"]:
        return None
    if kinds == ["ByteLevel"]:
        return GPT2 if parts[0]["use_regex"] else r"(?s:.+)"
    if parts[-1]["use_regex"]:
        return None
    if kinds == ["Digits", "ByteLevel"] and parts[0]["individual_digits"]:
        return DIGITS
    if kinds == ["Split", "ByteLevel"] and parts[0]["behavior"] == "Isolated" and not parts[0]["invert"]:
        return str(parts[0]["pattern"].get("Regex") or "") or None
    return None


def _ranks(model: dict[str, Any]) -> tuple[dict[bytes, int], Ids] | None:
    """Tokens' bytes by rank, and the id of each rank: single bytes first, then what each merge makes, in the merges' order."""
    raw, vocab = _byte_of(), model["vocab"]
    letters = [letter for letter in raw if letter in vocab]
    if len(letters) < 256:
        return None
    made = dict.fromkeys(
        left + right for left, right in (merge if isinstance(merge, list) else merge.split(" ") for merge in model["merges"])
    )
    rest = [token for token in vocab if token not in made and len(token) > 1] if model.get("ignore_merges") else []
    tokens = [token for token in (*letters, *made, *rest) if token in vocab and all(letter in raw for letter in token)]
    ranks = {bytes(raw[letter] for letter in token): rank for rank, token in enumerate(tokens)}
    if len(ranks) < len(tokens):
        return None
    return ranks, np.array([vocab[token] for token in tokens], dtype=np.int32)


def _byte_of() -> dict[str, int]:
    """GPT-2's alphabet: a printable character for each byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}
