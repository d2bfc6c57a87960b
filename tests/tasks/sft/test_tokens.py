import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.schema.records import Message
from tasks.sft.tokenizer import ASSISTANT, END, IGNORED, PAD, USER, tokenize, train_tokenizer

TEXTS = ["Write 400 words about bread.", "Bread was baked in clay ovens.", "请写一篇关于面包的文章。", "面包在土炉里烤成。"] * 10
TOKENIZER = train_tokenizer(TEXTS, vocabulary=512)
CONTROLS = {TOKENIZER.convert_tokens_to_ids(token) for token in (PAD, USER, ASSISTANT, END)}
texts = st.lists(st.one_of(st.text(max_size=12), st.sampled_from([PAD, USER, ASSISTANT, END])), min_size=1, max_size=5).map("".join)


def conversation(ask: str, answer: str) -> tuple[Message, ...]:
    return Message(role="user", content=ask), Message(role="assistant", content=answer)


def test_only_the_answer_and_its_end_are_targets() -> None:
    tokens = tokenize(conversation("Write about bread.", "Bread was baked."), TOKENIZER)
    targets = [label for label in tokens.labels if label != IGNORED]
    assert TOKENIZER.decode(targets) == f"Bread was baked.{END}"
    assert TOKENIZER.decode(tokens.input_ids) == f"{USER}Write about bread.{ASSISTANT}Bread was baked.{END}"


def test_every_digit_is_a_token_of_its_own() -> None:
    assert [token for token in TOKENIZER.tokenize("1600 words") if token.isdigit()] == ["1", "6", "0", "0"]


@settings(max_examples=200, deadline=None)
@given(texts, texts)
def test_text_that_spells_a_special_token_never_becomes_one(ask: str, answer: str) -> None:
    tokens = tokenize(conversation(ask, answer), TOKENIZER)
    found = [token for token in tokens.input_ids if token in CONTROLS]
    assert found == [TOKENIZER.convert_tokens_to_ids(token) for token in (USER, ASSISTANT, END)]
    targets = [label for label in tokens.labels if label != IGNORED]
    assert targets[-1] == TOKENIZER.eos_token_id
    assert TOKENIZER.decode(targets[:-1]) == answer


@pytest.mark.parametrize("text", ["\u200d\u200cjoined", "a\u2028b", "👩‍👩‍👧", "\n\n  spaced  \n"])
def test_a_text_comes_back_as_it_was(text: str) -> None:
    tokens = tokenize(conversation("x", text), TOKENIZER)
    assert TOKENIZER.decode([label for label in tokens.labels if label != IGNORED][:-1]) == text
