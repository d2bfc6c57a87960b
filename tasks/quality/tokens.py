"""How many tokens a conversation has, by the tokenizer that it will be trained with: the chat template's own tokens among them."""

from collections.abc import Callable, Iterable, Sequence

from tasks.schema.params import Base, Pack
from tasks.schema.records import Message, Sample

Counter = Callable[[Sequence[Sequence[Message]]], list[int]]  # of a batch of conversations


def counter(base: Base, pack: Pack, samples: Callable[[], Iterable[Sample]]) -> Counter:
    """For a base that is `tiny` the tokenizer is trained on `samples`, as the stage pack does it."""
    from tasks.sft.tokenizer import load_tokenizer, train_tokenizer

    if base.model == "tiny":
        texts = [message.content for sample in samples() for message in sample.messages]
        tokenizer = train_tokenizer(texts, vocabulary=pack.vocabulary)
    else:
        tokenizer = load_tokenizer(base)

    def count(conversations: Sequence[Sequence[Message]]) -> list[int]:
        dumped = [[message.model_dump() for message in messages] for messages in conversations]
        texts = [tokenizer.apply_chat_template(messages, tokenize=False) for messages in dumped]
        encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)
        return [len(ids) for ids in encoded["input_ids"]]

    return count
