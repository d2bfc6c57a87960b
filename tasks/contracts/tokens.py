"""Count a conversation's tokens with the tokenizer of the training, including the chat template's tokens."""

from collections.abc import Callable, Iterable, Sequence

from tasks.schema.params import Base, Pack
from tasks.schema.records import Message, Sample

Counter = Callable[[Sequence[Sequence[Message]]], list[int | None]]  # tokens of each conversation; None: the template refuses it


def counter(base: Base, pack: Pack, samples: Callable[[], Iterable[Sample]]) -> Counter:
    """A token counter for `base`. The tokenizer of a `tiny` base is trained on `samples`, as the pack stage does."""
    from tasks.training.conversations import Encoder, Unrenderable
    from tasks.training.tokenizer import load_tokenizer, train_tokenizer

    if base.model == "tiny":
        texts = [message.content for sample in samples() for message in sample.messages]
        tokenizer = train_tokenizer(texts, vocabulary=pack.vocabulary)
    else:
        tokenizer = load_tokenizer(base).tokenizer
    encoder = Encoder(tokenizer)

    def count(conversations: Sequence[Sequence[Message]]) -> list[int | None]:
        return [None if isinstance(row, Unrenderable) else len(row.input_ids) for row in encoder.try_encode(conversations)]

    return count
