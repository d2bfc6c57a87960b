"""How many tokens a conversation has, by the tokenizer that it will be trained with: the chat template's own tokens among them."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from tasks.schema.params import Base, Pack
from tasks.schema.records import Message, Sample

Counter = Callable[[Sequence[Sequence[Message]]], list[int]]  # of a batch of conversations


def counter(base: Base, pack: Pack, samples: Callable[[], Iterable[Sample]]) -> Counter:
    """For a base that is `tiny` the tokenizer is trained on `samples`, as the stage pack does it."""
    from tasks.sft.conversations import CHECKED, Encoder
    from tasks.sft.tokenizer import load_tokenizer, train_tokenizer

    if base.model == "tiny":
        texts = [message.content for sample in samples() for message in sample.messages]
        tokenizer = train_tokenizer(texts, vocabulary=pack.vocabulary)
    else:
        tokenizer = load_tokenizer(base)
    encoder = Encoder(tokenizer, sample=[sample.messages for sample in islice(samples(), CHECKED)])
    return lambda conversations: [len(row.input_ids) for row in encoder.encode(conversations)]
