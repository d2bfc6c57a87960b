"""Samples and the tiny base for tests of packing."""

from tasks.rehearsal.prose import paragraph
from tasks.schema.params import Base
from tasks.schema.records import Message, Sample

TINY = Base(model="tiny", revision="", remote_code=False)


def sample(words: int, number: int = 0) -> Sample:
    parts = words // 50
    written = [paragraph(topic="bread", language="en", words=50, part=part, parts=parts, seed=number) for part in range(1, parts + 1)]
    ask = Message(role="user", content=f"Write {words} words about bread, version {number}.")
    return Sample(
        id=f"{words}-{number}",
        messages=(ask, Message(role="assistant", content="\n\n".join(written))),
        language="en",
        asked_words=words,
        written_words=words,
        paragraphs=parts,
        source=f"pool.jsonl:{number}",
    )
