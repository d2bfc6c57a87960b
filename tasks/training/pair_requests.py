"""Draw the training prompts that the SFT student answers again, by a digest of seed and id.

Reusing training prompts is safe: both answers of a pair are the model's own, and neither is the training answer. Holding prompts out
would cost SFT its most expensive rows. The evaluation uses the benchmark, which collect keeps apart from the training prompts. A cost
of reuse: a model gives similar answers to prompts that it has memorized. Such answers are ties, and build_pairs counts them.
"""

import hashlib
from collections.abc import Iterable

from tasks.schema.records import BenchmarkItem, Sample

ONE_TURN = ("user", "assistant")


def draw(samples: Iterable[Sample], *, count: int, seed: int) -> list[BenchmarkItem]:
    """At most `count` single-turn prompts with a requested length, as benchmark items. The order of `samples` does not matter."""
    asked = [item for item in map(_item, samples) if item]
    return sorted(asked, key=lambda item: lot(seed, item.id))[:count]


def lot(seed: int, identity: str) -> str:
    """A record's sort key in a draw: 64 hex digits, which depend only on the seed and the record's id."""
    return hashlib.sha256(f"{seed}\0{identity}".encode()).hexdigest()


def _item(sample: Sample) -> BenchmarkItem | None:
    if sample.asked_words is None or tuple(message.role for message in sample.messages) != ONE_TURN:
        return None
    prompt = sample.messages[0].content
    return BenchmarkItem(id=sample.id, prompt=prompt, type="training", length=sample.asked_words, language=sample.language)
