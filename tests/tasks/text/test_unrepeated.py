"""Length without repeated passages: the words that a reader would count in a text that repeats itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.degeneration import PASSAGE, without_repeats
from tasks.text.unrepeated import count_without_loops
from tasks.text.words import count_fixed

PROSE = "The ferry left at six, and nobody on the pier had slept. A boy counted gulls; his sister counted the boys who counted gulls."
LOOP = "He knew that it was the only thing that mattered to him. "
COPIED = "In the end the council agreed that the old bridge should be kept open for people who walk to work every day."


@pytest.mark.parametrize(
    "text", ["", "One word.", PROSE, "Café au lait, 3.14 and state-of-the-art R&D.", "桥已经很老了，但是人们每天都从上面走过。"]
)
def test_a_text_without_repeats_counts_as_it_does_in_fixed_mode(text: str) -> None:
    assert without_repeats(text) == text
    assert count_without_loops(text) == count_fixed(text)


@pytest.mark.parametrize("times", [3, 30, 300])
def test_of_a_loop_its_first_copy_counts_however_long_it_goes_on(times: int) -> None:
    assert count_without_loops(PROSE + " " + LOOP * times) == count_fixed(PROSE + " " + LOOP)


def test_a_loop_with_a_word_changed_is_a_loop() -> None:
    text = " ".join(f"{LOOP.strip()} Day {number} came." for number in range(40))
    assert count_without_loops(text) < 0.2 * count_fixed(text)


def test_a_passage_that_came_before_counts_once_also_far_from_its_first_place() -> None:
    assert count_without_loops(f"{COPIED} {PROSE} {COPIED}") == count_fixed(f"{COPIED} {PROSE}")


def test_a_phrase_that_comes_back_is_no_repeated_passage() -> None:
    text = f"The old bridge should be kept open. {PROSE} And yet the old bridge should be kept open."
    assert count_without_loops(text) == count_fixed(text)


def test_chinese_loops_count_once() -> None:
    text = "他知道这是唯一重要的事情，别的都不算什么。" * 20
    assert count_without_loops(text) == count_fixed("他知道这是唯一重要的事情，别的都不算什么。")


def test_a_loop_of_signs_takes_no_words_from_the_text() -> None:
    assert count_without_loops(f"{PROSE} {'!' * 5_000}") == count_fixed(PROSE)


@given(st.text(max_size=400))
def test_any_text_has_at_most_its_own_words(text: str) -> None:
    assert 0 <= count_without_loops(text * 3) <= count_fixed(text * 3)


@given(st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta"]), min_size=PASSAGE, max_size=60))
def test_a_text_twice_has_about_the_words_of_one(words: list[str]) -> None:
    once = " ".join(words)
    assert count_without_loops(f"{once}\n\n{once}") <= count_fixed(once)
