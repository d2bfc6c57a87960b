"""Helpers shared by the tests of packs and trainings: texts as tokens, and tokens as packs on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.rehearsal.prose import paragraph
from tasks.schema.records import Message
from tasks.training.conversations import Encoder, Tokens
from tasks.training.packing import FILE, PACK, Packed, Samples, write_packs
from tasks.training.tokenizer import train_tokenizer

ASK = Message(role="user", content="Write about bread.")


def conversation(answer: str, ask: str = ASK.content) -> tuple[Message, ...]:
    return Message(role="user", content=ask), Message(role="assistant", content=answer)


def answers(count: int, *, words: int = 50) -> list[str]:
    return [paragraph(topic="bread", language="en", words=words, part=1, parts=1, seed=number) for number in range(count)]


def encoded(texts: Sequence[str], *, vocabulary: int = 512) -> tuple[Any, list[Tokens]]:
    """A tokenizer trained on the answers, and the conversations as tokens."""
    tokenizer = train_tokenizer(texts, vocabulary=vocabulary)
    rows = [conversation(text) for text in texts]
    return tokenizer, Encoder(tokenizer).encode(rows)


def write(samples: Sequence[Tokens], folder: Path, *, context: int) -> Packed:
    folder.parent.mkdir(parents=True, exist_ok=True)
    written = Samples(folder.with_suffix(".samples"))
    written.add([f"s{number}" for number in range(len(samples))], samples)
    return write_packs(written, written.close(), range(len(samples)), folder, context=context)


def write_alone(samples: Sequence[Tokens], folder: Path) -> None:
    """Each sample a pack of its own."""
    folder.mkdir(parents=True)
    rows = [
        {"input_ids": row.input_ids, "labels": row.labels, "seq_lengths": [len(row.input_ids)], "ids": [f"s{number}"]}
        for number, row in enumerate(samples)
    ]
    with pa.ipc.new_stream(str(folder / FILE), PACK) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=PACK))


def packed_student(folder: Path) -> list[Tokens]:
    """`folder`/packs/student and `folder`/tokenizer of 32 short texts, as the stage pack leaves them; the samples."""
    tokenizer, samples = encoded(answers(32))
    tokenizer.save_pretrained(folder / "tokenizer")
    write(samples, folder / "packs/student", context=128)
    return samples
