import random
import re

import pytest

from tasks.text.degeneration import degeneration, looped, word_ids

PLAIN = " ".join(f"word{number}" for number in range(400)) + "."
FOX = "the quick brown fox jumps over a lazy dog. "


def test_repeated_ngrams_are_one_minus_the_share_of_distinct_ones() -> None:
    assert degeneration("a b c d e f g a b c d").repetition == pytest.approx(1 - 7 / 8)
    assert degeneration(PLAIN).repetition == 0
    assert degeneration("one two three").repetition == 0
    assert degeneration("").repetition == 0


@pytest.mark.parametrize("seed", range(5))
def test_repeated_ngrams_are_counted_as_a_plain_loop_counts_them(seed: int) -> None:
    words = random.Random(seed).choices("abc", k=500)
    grams = list(zip(*(words[start:] for start in range(4)), strict=False))
    assert degeneration(" ".join(words)).repetition == pytest.approx(1 - len(set(grams)) / len(grams))


def test_case_and_punctuation_are_no_difference_and_a_chinese_character_is_a_word() -> None:
    assert degeneration("To be, or not; TO BE OR NOT").repetition == pytest.approx(1 - 4 / 5)
    assert degeneration("今天天气，今天天气。").repetition == pytest.approx(1 - 4 / 5)


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
    assert degeneration(text).switches == count


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


BLOCK = (
    "The old harbour lay quiet under a thin fog. Anna counted the boats twice, wrote the number into her book and shut the door of the"
    " office behind her. On the pier a boy was correcting a net, a gull watched him, and the tide went out as slowly as it had come in."
)
VERSES = tuple(
    BLOCK.replace("Anna", name).replace("boats", thing) for name, thing in (("Ben", "sails"), ("Carla", "lamps"), ("Dora", "ropes"))
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LOOPS = {
    "numbered": "\n\n".join(f"Chapter {number}: {BLOCK}" for number in range(1, 13)),
    "one word changes": " ".join(f"She walked to the {letter * 4} and looked at the grey sea without a word." for letter in LETTERS),
    "one Chinese character changes": "".join(
        f"第{number}天，她来到海边，看着远处的船慢慢开过来，心里十分平静。" for number in "一二三四五六七八九"
    ),
    "two and a half copies": "\n\n".join([BLOCK, *VERSES] * 2 + [BLOCK, VERSES[0]]),
    "one sign": f"{BLOCK} {'!' * 500}",
    "a sign and a space": f"{BLOCK} {'— ' * 300}",
    "empty bullets": f"{BLOCK}\n{'- ' * 1}" + "\n- " * 100,
    "a syllable": "ha" * 500,
}
NO_LOOPS = {
    "a table": "\n".join(f"| item {number} | {number * 37 % 101} | yes |" for number in range(40)),
    "code": "\n".join(f"function f{number}() {{ return {number}; }}" for number in range(40)),
    "a quiz": "\n".join(
        f"{number}. What is {number} times {number + 3}?\nA. {number}\nB. 12\nC. Both\nD. None of them" for number in range(9)
    ),
    "a plan": "\n".join(
        f"Week {number}\nMonday: rest\nTuesday: {LETTERS[number] * 4} {LETTERS[-number] * 5} run\nSunday: rest" for number in range(1, 20)
    ),
    "a list of words": "\n".join(f"word{number} – 苹果" for number in range(50)),
    "rules": f"\n\n{'-' * 80}\n\n".join((BLOCK, "It rained.", "Nobody came.")),
    "leaders": "\n".join(f"Part {number} {'.' * 60} {number * 7}" for number in range(1, 15)),
    "a song": "\n\n".join(
        f"{LETTERS[number] * 4} came home {LETTERS[-number] * 5} late\nOh carry me home,\nover the sea." for number in range(1, 5)
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_nearly_the_same_block_and_signs_over_and_over_are_loops(name: str) -> None:
    assert looped(LOOPS[name]) > 0


@pytest.mark.parametrize("name", NO_LOOPS)
def test_what_has_a_form_is_no_loop(name: str) -> None:
    assert looped(NO_LOOPS[name]) == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (
            BLOCK + " Der Kapitän schaute lange auf das Meer und sagte nichts mehr. Danach ging er nach Hause und schlief die ganze Nacht.",
            1,
        ),
        (BLOCK * 3, 0),
        ("她每天都去河边钓鱼，从来没有人知道她的名字叫什么。昔々、あるところにおじいさんとおばあさんが住んでいました。", 1),
    ],
)
def test_languages_of_one_script_are_told_apart_where_that_is_sure(text: str, count: int) -> None:
    assert degeneration(text).switches == count


def test_a_token_behind_the_text_is_no_word_and_no_ending() -> None:
    assert degeneration(f"{BLOCK}<|im_end|>") == degeneration(BLOCK)
    assert degeneration(f"{BLOCK}\n\n(To be continued)").ending == "offers_to_continue"


@pytest.mark.parametrize("seed", range(20))
def test_words_are_numbered_alike_exactly_where_the_definition_finds_the_same_word(seed: int) -> None:
    luck = random.Random(seed)
    signs = "aB1_ .・ー中あ\u0301é\U00020000\U0001f600İßª½\ud800"
    text = "".join(luck.choice(signs) * luck.choice([1, 1, 2, 31, 32, 33]) for _ in range(200))
    words = re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]{1,32}", text.lower())
    known: dict[str, int] = {}
    numbers = [known.setdefault(word, number) for word, number in zip(words, word_ids(text).tolist(), strict=True)]
    assert numbers == word_ids(text).tolist()
    assert len(set(known.values())) == len(known)


def test_signs_are_words_only_in_a_long_stretch_of_a_few() -> None:
    assert len(word_ids("one " + "!" * 300 + " two")) == 302
    assert len(word_ids("one " + "-" * 100 + " two")) == 2  # a rule
    assert len(word_ids("- \n" * 70)) == 70
