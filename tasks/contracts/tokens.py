"""Count a conversation's tokens with the tokenizer of the training, including the chat template's tokens."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from tasks.schema.params import Base, Pack
from tasks.schema.records import Sample

if TYPE_CHECKING:
    from tasks.training.conversations import Conversation

Counter = Callable[[Sequence["Conversation"]], list[int | None]]  # tokens of each conversation; None: the template refuses it


def counter(base: Base, pack: Pack, samples: Callable[[], Iterable[Sample]], *, traced: bool = False) -> Counter:
    """A token counter for `base`. The tokenizer of a `tiny` base is trained on `samples`, as the pack stage does.

    `traced`: the samples have traces, which are counted with the tags that the pack stage gives them.
    """
    from tasks.training.conversations import Encoder
    from tasks.training.tokenizer import ChatTokenizer, load_tokenizer, texts_of, train_tokenizer
    from tasks.training.traced import Unrenderable, tags_for

    if base.model == "tiny":
        tokenizer = train_tokenizer(texts_of(samples()), vocabulary=pack.vocabulary)
        chat = ChatTokenizer(tokenizer, tokenizer.chat_template)
    else:
        chat = load_tokenizer(base)
    encoder = Encoder(chat.tokenizer, tags_for(chat.tokenizer, chat.kept, model=base.model).tags) if traced else Encoder(chat.tokenizer)

    def count(conversations: "Sequence[Conversation]") -> list[int | None]:
        return [None if isinstance(row, Unrenderable) else len(row.input_ids) for row in encoder.try_encode(conversations)]

    return count
