import random

import pytest

from tasks.longbench.degeneration import degeneration, looped, repeated_ngrams, switches

PLAIN = " ".join(f"word{number}" for number in range(400)) + "."
FOX = "the quick brown fox jumps over a lazy dog. "


def test_repeated_ngrams_are_one_minus_the_share_of_distinct_ones() -> None:
    assert repeated_ngrams("a b c d e f g a b c d") == pytest.approx(1 - 7 / 8)
    assert repeated_ngrams(PLAIN) == 0
    assert repeated_ngrams("one two three") == 0
    assert repeated_ngrams("") == 0


@pytest.mark.parametrize("seed", range(5))
def test_repeated_ngrams_are_counted_as_a_plain_loop_counts_them(seed: int) -> None:
    words = random.Random(seed).choices("abc", k=500)
    grams = list(zip(*(words[start:] for start in range(4)), strict=False))
    assert repeated_ngrams(" ".join(words)) == pytest.approx(1 - len(set(grams)) / len(grams))


def test_case_and_punctuation_are_no_difference_and_a_chinese_character_is_a_word() -> None:
    assert repeated_ngrams("To be, or not; TO BE OR NOT") == pytest.approx(1 - 4 / 5)
    assert repeated_ngrams("今天天气，今天天气。") == pytest.approx(1 - 4 / 5)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        (FOX * 5, 4 / 5),
        (FOX * 2, 0),  # twice is a repetition, and no loop
        ("很好。" * 20, 19 / 20),
        ("no no no", 0),  # too little to be a loop
        ("ha " * 50, 49 / 50),
        ("a" * 3200, 99 / 100),  # a giant token loops too
        (PLAIN * 3, 2 / 3),  # a block of a page
        ("One, she said, was lost. Two, she said, was lost. Three, she said, was lost.", 0),
        ("| --- | --- | --- | --- |", 0),
        ("", 0),
    ],
)
def test_loops_are_blocks_of_any_length_that_come_three_times_in_a_row(text: str, share: float) -> None:
    assert looped(text) == pytest.approx(share, abs=0.01)


def test_a_block_that_repeats_a_sentence_within_itself_loops_as_a_whole() -> None:
    block = f"{FOX}Then it rained all day on the green hill. {FOX}And nobody came to see what the matter was. "
    assert looped(block * 4) == pytest.approx(3 / 4, abs=0.01)


def test_a_loop_is_found_where_it_stands() -> None:
    found = degeneration(PLAIN + " " + FOX * 45)
    assert found.looped_by_part[:4] == (0, 0, 0, 0)
    assert found.looped_by_part[-1] == 1
    assert found.repetition_by_part[0] == 0
    assert found.repetition_by_part[-1] == 1


ENGLISH = "And then the whole text goes on in English, sentence after sentence. "
CHINESE = "今天天气很好，我们去公园散步，看见了许多花和鸟。"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (CHINESE * 5, 0),
        (CHINESE * 3 + ENGLISH * 3, 1),
        (CHINESE * 3 + ENGLISH + CHINESE, 2),
        ("我们用了GPT-4o模型和Transformer架构，效果很好，大家都非常满意这个结果。" * 3, 0),  # terms are no switch
        ("今日は公園へ散歩に行きました。花がきれいでした。そして家に帰りました。" * 3, 0),  # kana and kanji are one script
        (ENGLISH + "Все счастливые семьи похожи друг на друга, каждая несчастлива по-своему. ", 1),
        (ENGLISH + "好。" + ENGLISH, 0),  # too little to be sure
        ("12345. !!! 😀😀", 0),
        ("", 0),
    ],
)
def test_a_change_of_script_between_sentences_is_a_switch(text: str, count: int) -> None:
    assert switches(text) == count


def test_another_script_is_found_where_it_stands() -> None:
    found = degeneration(CHINESE * 90 + ENGLISH * 3).other_script_by_part
    assert found[0] == 0
    assert found[-1] > 0.5


HOSTILE = {
    "sentences": FOX * 230_000,
    "one letter": "a" * 10_000_000,
    "two words": "big red " * 1_250_000,
    "chinese": "今天天气很好。" * 470_000,
    "signs": "." * 10_000_000,
    "lines": "\n" * 10_000_000,
    "quotes": "It ended" + '"' * 10_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_ten_megabytes_of_one_thing_are_measured(name: str) -> None:
    """What takes time or memory with the square of the length would not come to an end here."""
    found = degeneration(HOSTILE[name])
    assert 0 <= found.repetition <= 1


def test_odd_characters_are_measured_like_all_others() -> None:
    for text in ("\ud800 half of a character.", "\x00\x01.", "😀" * 50, "\u2028" * 20):
        assert 0 <= degeneration(text).repetition <= 1
