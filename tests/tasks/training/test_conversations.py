"""Which text becomes tokens and which tokens are targets, including text that spells special tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from benchmarks.tokenizing import like_llama
from tasks.schema.records import Message
from tasks.training.conversations import IGNORED, Encoder
from tasks.training.tokenizer import ASSISTANT, CHAT_TEMPLATE, END, PAD, USER, train_tokenizer
from tests.tasks.training.packs import conversation

TEXTS = ["Write 400 words about bread.", "Bread was baked in clay ovens.", "请写一篇关于面包的文章。", "面包在土炉里烤成。"] * 10
TOKENIZER = train_tokenizer(TEXTS, vocabulary=512)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% if message.role == 'assistant' %}{% generation %}"
    "{{ message.content }}<|im_end|>{% endgeneration %}{% else %}{{ message.content | trim }}<|im_end|>{% endif %}\n{% endfor %}"
)


def like_gpt2() -> PreTrainedTokenizerFast:
    made = like_llama(TEXTS, vocabulary=600, composes=False, template=CHAT_TEMPLATE, specials=[USER, END, ASSISTANT, PAD])
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return made


TOKENIZERS = {
    "gpt2": like_gpt2(),
    "tiny": TOKENIZER,
    "llama": like_llama(TEXTS, vocabulary=600, composes=False, template=CHAT_TEMPLATE, specials=[USER, END, ASSISTANT, PAD]),
    "qwen": like_llama(TEXTS, vocabulary=600, composes=True, template=CHATML, specials=["<|im_start|>", "<|im_end|>", "<tool_call>"]),
}
ENCODERS = {name: Encoder(tokenizer) for name, tokenizer in TOKENIZERS.items()}
SPELLED = sorted({token for tokenizer in TOKENIZERS.values() for token in tokenizer.get_added_vocab()})
written = st.lists(st.one_of(st.text(max_size=12), st.sampled_from([*SPELLED, *TEXTS[:4]])), min_size=1, max_size=5).map("".join)
names = st.sampled_from(list(ENCODERS))


def targets(encoder: Encoder, ask: str, answer: str) -> list[int]:
    tokens = encoder.encode([conversation(answer, ask)])[0]
    return [int(label) for label in tokens.labels if label != IGNORED]


def test_only_the_answer_and_its_end_are_targets() -> None:
    tokens = ENCODERS["tiny"].encode([conversation("Bread was baked.", "Write about bread.")])[0]
    assert TOKENIZER.decode([label for label in tokens.labels if label != IGNORED]) == f"Bread was baked.{END}"
    assert TOKENIZER.decode(tokens.input_ids) == f"{USER}Write about bread.{ASSISTANT}Bread was baked.{END}"


def test_every_answer_of_several_turns_is_a_target_and_no_request_is() -> None:
    turns = [("user", "One?"), ("assistant", "Bread."), ("user", "Two?"), ("assistant", "Clay ovens.")]
    tokens = ENCODERS["tiny"].encode([[Message(role=role, content=text) for role, text in turns]])[0]  # type: ignore[arg-type]
    assert TOKENIZER.decode([label for label in tokens.labels if label != IGNORED]) == f"Bread.{END}Clay ovens.{END}"


def test_every_digit_is_a_token_of_its_own() -> None:
    assert [token for token in TOKENIZER.tokenize("1600 words") if token.isdigit()] == ["1", "6", "0", "0"]


@given(names, written, written)
def test_text_that_spells_a_special_token_never_becomes_one(name: str, ask: str, answer: str) -> None:
    """Over all added tokens of all tokenizers: the control ids are those of an empty conversation, and no more."""
    encoder, tokenizer = ENCODERS[name], TOKENIZERS[name]
    controls = set(tokenizer.get_added_vocab().values())
    found = [token for token in encoder.encode([conversation(answer, ask)])[0].input_ids.tolist() if token in controls]
    assert found == [token for token in encoder.encode([conversation("a", "b")])[0].input_ids.tolist() if token in controls]


@given(written, written)
def test_an_answer_comes_back_as_it_was_written(ask: str, answer: str) -> None:
    kept = targets(ENCODERS["tiny"], ask, answer)
    assert kept[-1] == TOKENIZER.eos_token_id
    assert TOKENIZER.decode(kept[:-1]) == answer


spaced = st.text(st.sampled_from(" \n\r\t\u3000ab1，.'s"), max_size=24)


@given(names, st.one_of(written.filter(lambda text: not any(token in text for token in SPELLED)), spaced))
def test_tokens_and_targets_are_those_of_the_tokenizer_itself(name: str, answer: str) -> None:
    """Whoever encoded the row: transformers' own rendering, tokenizing and mask are the reference."""
    tokenizer, row = TOKENIZERS[name], conversation(answer)
    said = tokenizer.apply_chat_template(
        [message.model_dump() for message in row], return_dict=True, return_assistant_tokens_mask=True, tokenizer_kwargs={}
    )
    mine = ENCODERS[name].encode([row])[0]
    assert mine.input_ids.tolist() == said["input_ids"]
    assert (mine.labels != IGNORED).astype(int).tolist() == said["assistant_masks"]


def test_a_tokenizer_that_is_no_byte_pair_encoding_works_too() -> None:
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(["<unk>", "bread", USER, ASSISTANT, END])}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, extra_special_tokens=[USER, ASSISTANT])
    made.chat_template = CHAT_TEMPLATE
    encoder = Encoder(made)
    assert targets(encoder, "bread", "bread bread") == [1, 1, 4]


@pytest.mark.parametrize("text", ["\u200d\u200cjoined", "a\u2028b", "👩‍👩‍👧", "\n\n  spaced  \n"])
def test_a_text_comes_back_as_it_was(text: str) -> None:
    assert TOKENIZER.decode(targets(ENCODERS["tiny"], "x", text)[:-1]) == text


def test_labels_are_arrays_of_four_bytes_a_token() -> None:
    assert {row.dtype for row in ENCODERS["tiny"].encode([conversation("Bread.")])[0]} == {np.dtype(np.int32)}
