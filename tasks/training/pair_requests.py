"""The requests that the SFT student answers again: training requests, drawn by their ids alone.

They are the training data's own, not a share held out of it. A preference pair teaches by the difference of two of the model's own
answers, and the training answer to the request is in neither; a held-out share would cost SFT its dearest rows for it, and what is
evaluated is the benchmark, from which collect keeps the training requests apart. The price: on requests that it knows by heart a
model answers alike each time. Such pairs are ties, and prefer counts them.
"""

import hashlib
from collections.abc import Iterable

from tasks.schema.records import BenchmarkItem, Sample

ONE_TURN = ("user", "assistant")


def draw(samples: Iterable[Sample], *, count: int, seed: int) -> list[BenchmarkItem]:
    """At most `count` requests of one turn and with a length, as a candidate is asked them; the same ones in whatever order they come."""
    asked = [item for item in map(_item, samples) if item]
    return sorted(asked, key=lambda item: lot(seed, item.id))[:count]


def lot(seed: int, identity: str) -> str:
    """A record's place in a draw: 64 hex digits of its own and the seed, of no other record."""
    return hashlib.sha256(f"{seed}\0{identity}".encode()).hexdigest()


def _item(sample: Sample) -> BenchmarkItem | None:
    if sample.asked_words is None or tuple(message.role for message in sample.messages) != ONE_TURN:
        return None
    prompt = sample.messages[0].content
    return BenchmarkItem(id=sample.id, prompt=prompt, type="training", length=sample.asked_words, language=sample.language)
