"""The tokenizer of a base model, or one trained on the data for the tiny student; and a sample as tokens with answer-only targets."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tasks.schema.errors import BadInput
from tasks.schema.params import Base
from tasks.schema.records import Message

IGNORED = -100  # the label of a token that is no target, as PyTorch's cross-entropy skips it
PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"

# A turn is its role's token and its text; only the assistant's turns end with the end token, which is a target: the model learns to stop.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'assistant' %}<|assistant|>{% generation %}{{ message.content }}<|end|>"
    "{% endgeneration %}{% else %}<|user|>{{ message.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


class Tokens(NamedTuple):
    input_ids: list[int]
    labels: list[int]  # IGNORED, or the token itself where it is a target


def train_tokenizer(texts: Sequence[str], *, vocabulary: int) -> Any:
    """A byte-level BPE of at most `vocabulary` tokens, single digits as tokens (asked lengths are read digit by digit).

    Merges cross word borders (superwords, arXiv 2503.13423) where a phrase occurs about once in 25 texts or more: half the tokens
    to train on and to write, and what only one text says stays in small pieces, as in texts not seen yet.
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
        min_frequency=max(2, len(texts) // 25),  # rarer phrases stay in pieces, so that new topics look like known ones
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


def load_tokenizer(base: Base) -> Any:
    """The base model's own tokenizer, with a chat template that marks the assistant's tokens. Raises BadInput if it has none.

    No code of the model's repository is executed.
    """
    from transformers import AutoTokenizer
    from trl.chat_template_utils import get_training_chat_template

    try:
        tokenizer = AutoTokenizer.from_pretrained(base.model, revision=base.revision or None, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise BadInput(base.model, f"no tokenizer: {str(error).splitlines()[0]}", mend="check base.model and base.revision") from None
    if not tokenizer.chat_template:
        raise BadInput(
            base.model, "its tokenizer has no chat template", mend="name the chat variant's tokenizer, or add chat_template.jinja"
        )
    try:
        tokenizer.chat_template = get_training_chat_template(tokenizer) or tokenizer.chat_template
    except ValueError:
        mend = "add {% generation %} marks to its chat_template.jinja"
        raise BadInput(base.model, "its chat template does not mark the assistant's tokens", mend=mend) from None
    return tokenizer


def tokenize(messages: Sequence[Message], tokenizer: Any) -> Tokens:
    """A conversation through the chat template; only the assistant's tokens, the end of the turn among them, are targets.

    Text that spells a special token never becomes one: such a conversation is tokenized piece by piece.
    """
    controls = [token for token in tokenizer.get_added_vocab() if token.strip()]
    if any(control in message.content for message in messages for control in controls):
        return _piecewise(messages, tokenizer)
    encoded = tokenizer.apply_chat_template(
        [message.model_dump() for message in messages], return_dict=True, return_assistant_tokens_mask=True
    )
    ids = list(encoded["input_ids"])
    return Tokens(ids, [token if target else IGNORED for token, target in zip(ids, encoded["assistant_masks"], strict=True)])


def _piecewise(messages: Sequence[Message], tokenizer: Any) -> Tokens:
    """The template's own text keeps its special tokens, the messages' text is tokenized as plain text; then joined."""
    marks = [f"\ue000{number}\ue001" for number in range(len(messages))]
    marked = [{"role": message.role, "content": mark} for message, mark in zip(messages, marks, strict=True)]
    rest, ids, labels, answered = tokenizer.apply_chat_template(marked, tokenize=False), list[int](), list[int](), False

    def frame(text: str) -> None:
        """The template's own text: no target, but for the end of turn that stands first behind an assistant's text."""
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        targets = 1 if answered else 0
        ids.extend(tokens)
        labels.extend([*tokens[:targets], *[IGNORED] * len(tokens[targets:])])

    for message, mark in zip(messages, marks, strict=True):
        before, rest = rest.split(mark)
        frame(before)
        answered = message.role == "assistant"
        content = tokenizer(message.content, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        ids.extend(content)
        labels.extend(content if answered else [IGNORED] * len(content))
    frame(rest)
    return Tokens(ids, labels)
