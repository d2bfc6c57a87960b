"""Load a base model's tokenizer with its training chat template, or train a tokenizer for the tiny student."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.models.chat_templates import TINY, Form, TemplateTokens, training_form
from tasks.models.local import located
from tasks.schema.errors import BadInput
from tasks.schema.params import Base
from tasks.schema.records import Sample
from tasks.training.configs import stop_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"

CHAT_TEMPLATE = TINY


def train_tokenizer(texts: Sequence[str], *, vocabulary: int) -> "PreTrainedTokenizerBase":
    """A byte-level BPE of at most `vocabulary` tokens. Each digit is a token, so that requested lengths are read digit by digit.

    Merges may cross word borders (superwords, arXiv 2503.13423) if a phrase occurs about once in 25 texts or more. This halves the
    tokens to train on and to write. Rarer phrases stay in small pieces, as phrases of unseen texts do.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=max(2, len(texts) // 25),  # rarer phrases stay in pieces, as those of unseen texts do
        special_tokens=[PAD, USER, ASSISTANT, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, extra_special_tokens=[USER, ASSISTANT], clean_up_tokenization_spaces=False
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def texts_of(samples: Iterable[Sample]) -> list[str]:
    """The texts that a tokenizer for these samples is trained on: their messages, with a trace in place of its answer."""
    found = list[str]()
    for sample in samples:
        contents = [message.content for message in sample.messages]
        found += [*contents[:-1], sample.trace] if sample.trace else contents
    return found


class ChatTokenizer(NamedTuple):
    """A tokenizer with the chat template to train with, and the chat template that is saved with the trained model (`kept`)."""

    tokenizer: "PreTrainedTokenizerBase"
    kept: str
    form: Form | None = None  # None: the tiny student's own template

    def save(self, folder: Path) -> None:
        """Save the tokenizer with the trained model's chat template (`kept`)."""
        trained = self.tokenizer.chat_template
        self.tokenizer.chat_template = self.kept
        try:
            self.tokenizer.save_pretrained(folder)
        finally:
            self.tokenizer.chat_template = trained


def load_tokenizer(base: Base) -> ChatTokenizer:
    """The base model's tokenizer with an examined training form (a chat template that marks the model's answers).

    The trained model keeps the published template, unless base.chat_template names a file: then it keeps that file. Raises BadInput if
    there is no training form. The model repository's code is executed only if base.remote_code is set, and its commit is then pinned.
    """
    from transformers import AutoTokenizer

    base = located(base)
    try:
        tokenizer = AutoTokenizer.from_pretrained(base.model, revision=base.revision or None, trust_remote_code=base.remote_code)
    except Exception as error:  # noqa: BLE001  for malformed files tokenizers raises bare Exceptions
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BadInput(base.model, f"the tokenizer cannot be loaded: {reason}", fix="check base.model and base.revision") from None
    published = default_template(tokenizer.chat_template)
    if published == CHAT_TEMPLATE and base.chat_template is None:
        tokenizer.chat_template = published
        return ChatTokenizer(tokenizer, published)
    named = Path(base.chat_template) if base.chat_template else None
    form = training_form(published, vocabulary_of(tokenizer, base), source=base.model, named=named)
    tokenizer.chat_template = form.template
    return ChatTokenizer(tokenizer, form.template if named or not published else published, form)


def tokenizer_of(student: Path) -> "PreTrainedTokenizerBase":
    """A trained student's tokenizer with its training form. Raises BadInput if there is no student."""
    if not student.is_dir():
        raise BadInput(student, "no such checkpoint", fix="run the train stage again")
    return load_tokenizer(Base(model=str(student), revision="", remote_code=False)).tokenizer


def default_template(given: object) -> str | None:
    """The default chat template of a tokenizer, which may have several by name; None if there is none."""
    if isinstance(given, dict):
        given = given.get("default")
    return given if isinstance(given, str) and given else None


def vocabulary_of(tokenizer: "PreTrainedTokenizerBase", base: Base) -> TemplateTokens:
    """The special tokens for examining a chat template. The stop tokens are the tokenizer's end and those of the model's configs."""
    added = {number: token for token, number in tokenizer.get_added_vocab().items()}
    ends = {tokenizer.eos_token_id, *stop_ids(base)}
    tokens = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return TemplateTokens(tokens, frozenset(added[number] for number in ends if number in added))
