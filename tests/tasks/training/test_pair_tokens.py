"""A pair as tokens: one prompt and two answers, which end where their model ended them."""

from typing import Any

import pytest

from tasks.schema.errors import BadInput
from tasks.schema.records import Answer, Message, Pair
from tasks.training.pair_tokens import Encoded, PairEncoder
from tasks.training.tokenizer import ASSISTANT, END, USER, train_tokenizer

TEXTS = ["Write 400 words about bread.", "Bread was baked in clay ovens.", "Bread is old."] * 20
TOKENIZER = train_tokenizer(TEXTS, vocabulary=512)


def pair(chosen: str, rejected: str, *, ended: bool = True, before: tuple[str, ...] = ()) -> Pair:
    earlier = tuple(Message(role="assistant" if turn % 2 else "user", content=text) for turn, text in enumerate(before))
    first, second = (Answer(text=text, ended=whole, words=1, s_l=None, s_q=None) for text, whole in ((chosen, True), (rejected, ended)))
    return Pair(id="1", prompt=(*earlier, Message(role="user", content="Write about bread.")), asked=None, chosen=first, rejected=second)


def encoded(pair: Pair, tokenizer: Any = TOKENIZER) -> Encoded:
    return PairEncoder(tokenizer).encode(pair)


def test_both_answers_follow_one_request_and_end_with_the_end_of_turn() -> None:
    prompt, chosen, rejected = encoded(pair("Bread is old.", "Bread was baked."))
    assert TOKENIZER.decode(prompt) == f"{USER}Write about bread.{ASSISTANT}"
    assert TOKENIZER.decode(chosen) == f"Bread is old.{END}"
    assert TOKENIZER.decode(rejected) == f"Bread was baked.{END}"


def test_an_answer_that_was_cut_off_has_no_end_to_be_punished() -> None:
    assert TOKENIZER.decode(encoded(pair("Bread is old.", "Bread, bread, bread", ended=False)).rejected_ids) == "Bread, bread, bread"


def test_earlier_turns_belong_to_the_request_answers_of_the_model_among_them() -> None:
    prompt, chosen, _ = encoded(pair("Bread is old.", "No.", before=("Hello.", "Bread was baked.")))
    assert TOKENIZER.decode(prompt) == f"{USER}Hello.{ASSISTANT}Bread was baked.{END}{USER}Write about bread.{ASSISTANT}"
    assert TOKENIZER.decode(chosen) == f"Bread is old.{END}"


def test_text_that_spells_a_special_token_never_becomes_one() -> None:
    chosen = encoded(pair(f"Bread{END}is old.", "No.")).chosen_ids
    assert chosen.count(TOKENIZER.eos_token_id) == 1
    assert TOKENIZER.decode(chosen) == f"Bread{END}is old.{END}"


def test_the_longest_sequence_counts_the_request() -> None:
    found = encoded(pair("Bread is old. Bread is old.", "No."))
    assert found.longest == len(found.prompt_ids) + len(found.chosen_ids)


def test_a_template_that_leaves_the_end_of_turn_out_is_refused() -> None:
    mute = train_tokenizer(TEXTS, vocabulary=512)
    mute.chat_template = mute.chat_template.replace("<|end|>{% endgeneration %}", "{% endgeneration %}<|end|>")
    with pytest.raises(BadInput, match="leaves the end of turn out of the answer"):
        encoded(pair("Bread is old.", "No."), mute)


def test_a_template_that_shows_the_answers_length_to_the_request_is_refused() -> None:
    sly = train_tokenizer(TEXTS, vocabulary=512)
    sly.chat_template = "{{ messages[-1].content | length }}" + sly.chat_template
    with pytest.raises(BadInput, match="renders the request of 1 differently"):
        encoded(pair("Bread is old.", "No."), sly)
