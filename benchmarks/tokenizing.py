"""Compare tokenizing with answer-only targets to transformers' fast tokenizer on the same batches; `make bench`.

The tokenizer has Llama-3's structure and 32,768 tokens, and is trained on the same texts, so nothing is downloaded. The texts are the
rehearsal's prose, or JSONL rows of `prompt` and `response` (environment variable FILE). The peer is
`apply_chat_template(…, return_assistant_tokens_mask=True)` per batch. All ids and labels of both are compared.
"""

import json
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.pack import AT_ONCE
from tasks.rehearsal.prose import paragraph
from tasks.schema.records import Message
from tasks.training.conversations import Encoder, Tokens
from tasks.training.tokenizer import ASSISTANT, CHAT_TEMPLATE, END, PAD, USER

ROWS, WORDS = 1_200, 2_500
LLAMA = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
Conversation = tuple[Message, ...]


def texts() -> list[tuple[str, str]]:
    """(prompt, answer) pairs: from FILE, else from the rehearsal's prose in English and Chinese."""
    if path := os.environ.get("FILE"):
        rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
        return [(str(row.get("prompt") or row.get("instruction") or ""), str(row["response"])) for row in rows]
    luck = random.Random(5)
    return [_written(number, luck) for number in range(ROWS)]


def _written(number: int, luck: random.Random) -> tuple[str, str]:
    parts, language = WORDS // 500, "zh" if number % 2 else "en"
    seeds = [luck.randrange(10**6) for _ in range(parts)]
    pieces = [
        paragraph(topic=f"bridge {number}", language=language, words=500, part=part, parts=parts, seed=seed)  # type: ignore[arg-type]
        for part, seed in enumerate(seeds, 1)
    ]
    return f"Write {WORDS} words about bridge {number}.", "\n\n".join(pieces)


def like_llama(given: Sequence[str], *, vocabulary: int, specials: list[str], template: str, composes: bool = False) -> Any:
    """A tokenizer of Llama-3's structure trained on texts; `composes` (NFC) makes it Qwen2.5's. The second special token ends a turn."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(ignore_merges=not composes))
    made.normalizer = normalizers.NFC() if composes else None
    split = pre_tokenizers.Split(Regex(LLAMA), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(given, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=specials[1], extra_special_tokens=specials)
    tokenizer.chat_template = template
    return tokenizer


def peer(tokenizer: Any, conversations: Sequence[Conversation]) -> list[Tokens]:
    """Tokenize one batch by transformers only."""
    messages = [[{"role": message.role, "content": message.content} for message in conversation] for conversation in conversations]
    found = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    ids = [np.array(row, dtype=np.int32) for row in found["input_ids"]]
    masks = [np.array(row, dtype=bool) for row in found["assistant_masks"]]
    return [Tokens(row, np.where(mask, row, -100).astype(np.int32)) for row, mask in zip(ids, masks, strict=True)]


def measure(name: str, work: Callable[[Sequence[Conversation]], list[Tokens]], rows: Sequence[Conversation], size: int) -> list[Tokens]:
    found = list[Tokens]()
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(rows), AT_ONCE):
        found += work(rows[start : start + AT_ONCE])
    wall, used = time.perf_counter() - began, time.process_time() - cpu
    tokens = sum(len(row.input_ids) for row in found)
    print(f"  {name:34} {size / 1e6 / wall:7.1f} MB/s {wall:8.2f} s wall {used:8.2f} s CPU {tokens:12,} tokens", flush=True)
    return found


def main() -> None:
    given = texts()
    size = sum(len(text.encode()) for pair in given for text in pair)
    rows = [(Message(role="user", content=ask), Message(role="assistant", content=answer)) for ask, answer in given if ask and answer]
    specials = [PAD, END, USER, ASSISTANT]
    tokenizer = like_llama([answer for _, answer in given], vocabulary=32_768, specials=specials, template=CHAT_TEMPLATE)
    print(f"tokenizing {len(rows):,} conversations, {size / 1e6:,.0f} MB, {len(tokenizer):,} tokens in the vocabulary")
    encoder = Encoder(tokenizer)
    ours = measure("tokens and labels", encoder.encode, rows, size)
    theirs = measure("transformers, the same batches", lambda batch: peer(tokenizer, batch), rows, size)
    same = sum(np.array_equal(a, b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True))
    print(f"  {same:,} of {2 * len(rows):,} arrays of ids and labels are equal")


if __name__ == "__main__":
    main()
