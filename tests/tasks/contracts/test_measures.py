"""What is measured, on the edges where a careless count goes wrong."""

import pytest

from tasks.contracts.measures import measure, repetition, row_of
from tasks.corpus.likeness import repeats
from tasks.schema.records import Message, Sample


def measured(answer: str) -> dict[str, object]:
    messages = (Message(role="user", content="Write."), Message(role="assistant", content=answer))
    row = Sample(id="a", messages=messages, language="en", asked_words=10, written_words=10, paragraphs=1, source="f:1")
    return measure(row_of(1, row), repeats([]))._asdict()


@pytest.mark.parametrize(
    "text", ["Paragraph 3: The river", "**Paragraph 12** The river", "One.\n\nParagraph 2 - Two", "第三段：河流", "第 12 段\n河流"]
)
def test_a_paragraph_that_begins_with_its_number_is_an_identifier(text: str) -> None:
    assert measured(text)["identifiers"] == 1


@pytest.mark.parametrize(
    "text", ["Paragraph 3 of the treaty binds both.", "See paragraph 3: it binds.", "第三段路最难走。", "他走完了第三段：很累。"]
)
def test_prose_that_mentions_a_paragraph_is_not(text: str) -> None:
    assert measured(text)["identifiers"] == 0


def test_repetition_is_the_share_of_sentences_seen_before_whatever_their_case_and_spacing() -> None:
    assert repetition("One day. One  DAY! Another day. 一天。一天。") == pytest.approx(2 / 5)
    assert repetition("") == 0.0


def test_joined_emoji_are_not_invisible_characters_but_a_zero_width_space_is() -> None:
    assert measured("می\u200cخواهم and a sign \u200d alone")["invisible"] == 1
    assert measured("A family 👨\u200d👩\u200d👧 walks.")["invisible"] == 0
    assert measured("A\u200b family\ufeff walks.")["invisible"] == 2
