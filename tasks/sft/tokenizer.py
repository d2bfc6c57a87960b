"""The tokenizer of a base model, or one trained on the data for the tiny student."""

from collections.abc import Sequence
from typing import Any

from tasks.schema.errors import BadInput
from tasks.schema.params import Base

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"

# A turn is its role's token and its text; only the assistant's turns end with the end token, which is a target: the model learns to stop.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'assistant' %}<|assistant|>{% generation %}{{ message.content }}<|end|>"
    "{% endgeneration %}{% else %}<|user|>{{ message.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


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

    Code of the model's repository is executed only where base.remote_code says so; its commit is pinned then.
    """
    from transformers import AutoTokenizer
    from trl.chat_template_utils import get_training_chat_template

    try:
        tokenizer = AutoTokenizer.from_pretrained(base.model, revision=base.revision or None, trust_remote_code=base.remote_code)
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
