import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.rehearsal.prose import paragraph
from tasks.schema.records import Language
from tasks.text.counts import count_words

LANGUAGES: tuple[Language, ...] = get_args(Language)
TOPICS = {"en": "the history of the bridge", "zh": "石拱桥的历史"}


def text(language: Language, *, parts: int, seed: int = 1) -> str:
    return "\n\n".join(
        paragraph(topic=TOPICS[language], language=language, words=50, part=part, parts=parts, seed=seed) for part in range(1, parts + 1)
    )


@given(st.sampled_from(LANGUAGES), st.integers(1, 400), st.text(max_size=40), st.integers(0, 2**32))
def test_a_paragraph_has_exactly_the_asked_words_whatever_the_topic(language: Language, words: int, topic: str, seed: int) -> None:
    assert count_words(paragraph(topic=topic, language=language, words=words, part=2, parts=3, seed=seed)) == words


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_of_sixteen_parts_repeats_no_paragraph_and_hardly_a_sentence(language: Language) -> None:
    paragraphs = text(language, parts=16).split("\n\n")
    sentences = re.findall(r"[^.。\n]+[.。]", text(language, parts=16))
    assert len(set(paragraphs)) == 16
    assert len(set(sentences)) >= 0.97 * len(sentences)


@pytest.mark.parametrize("language", LANGUAGES)
def test_only_the_last_part_has_the_ending(language: Language) -> None:
    ending = "Altogether" if language == "en" else "总之"
    assert [ending in part for part in text(language, parts=4).split("\n\n")] == [False, False, False, True]


@pytest.mark.parametrize("language", LANGUAGES)
def test_digits_stand_in_the_heading_alone(language: Language) -> None:
    for part in text(language, parts=12).split("\n\n"):
        heading, body = part.split("\n")
        assert re.search(r"\d", heading)
        assert not re.search(r"\d", body)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_and_the_last_part_name_the_topic(language: Language) -> None:
    first, *_, last = text(language, parts=4).split("\n\n")
    assert TOPICS[language] in first
    assert TOPICS[language] in last


def test_a_topic_cut_short_leaves_no_word_hanging() -> None:
    written = paragraph(topic="a librarian who finds a hidden door", language="en", words=50, part=1, parts=2, seed=1)
    assert "about a librarian who finds." in written


def test_the_same_arguments_write_the_same_and_another_seed_another_text() -> None:
    assert text("en", parts=3) == text("en", parts=3)
    assert text("en", parts=3) != text("en", parts=3, seed=2)


@pytest.mark.parametrize(("words", "part"), [(0, 1), (50, 0), (50, 4)])
def test_a_paragraph_that_cannot_be_is_refused(words: int, part: int) -> None:
    with pytest.raises(ValueError, match="nothing to write"):
        paragraph(topic="bread", language="en", words=words, part=part, parts=3, seed=1)
