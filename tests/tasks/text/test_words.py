import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icu4py.breakers import WordBreaker

from benchmarks.words import HARD_CASES, Case
from tasks.text.counts import count_by_definition, count_words, s_l
from tasks.text.words import Constraint, constraint, count_fixed, s_l_fixed

LONGBENCH = Path("../shared/data/longbench_write/longbench_write.jsonl")
AT_LEAST = 27  # prompts of LongBench-Write that ask for so much or more
RIGHT_AT_LEAST, OF = 28, 31  # what the fixed count owes, on any table of hard cases

LONG = "词" * 200  # long enough for the counting over arrays
NEAR_WORDS = st.text(alphabet=st.sampled_from("aZzé_0٣½中鿿䷿ꀀ〇々かᄒ“’·\u0301\u200d\u00a0 ,.\n\ud800𝐀𠀀🙂[]^`@{"))
LENGTHS = st.integers(1, 10**5)


@given(st.text() | NEAR_WORDS)
def test_the_papers_count_is_its_definition_for_any_text(text: str) -> None:
    official = len(re.findall(r"[\u4e00-\u9fff]", text)) + len(re.findall(r"\b[a-zA-Z]+\b", text))
    assert count_words(text) == count_by_definition(text) == official
    assert count_words(text + LONG) == count_by_definition(text + LONG)
    assert count_words(LONG + text) == count_by_definition(LONG + text)
    assert count_words(f"{LONG} {text} 🙂") == count_by_definition(text) + len(LONG)


@given(st.text(alphabet=st.characters(max_codepoint=0x7F)))
def test_the_papers_count_is_its_definition_for_ascii(text: str) -> None:
    assert count_words(text) == count_by_definition(text)


def test_every_character_parts_or_joins_letters_as_the_definition_has_it() -> None:
    for first in range(0, 0x110000, 2048):
        text = "".join(f"a{chr(code)} b {chr(code)}c d{chr(code)}e {chr(code)} " for code in range(first, first + 2048))
        assert count_words(text) == count_by_definition(text), hex(first)


@pytest.mark.parametrize("case", HARD_CASES, ids=lambda case: case.why)
def test_a_hard_case_is_counted_as_a_person_would(case: Case) -> None:
    assert count_fixed(case.text) == case.words


def test_the_fixed_count_is_right_where_the_papers_is_not() -> None:
    fixed = sum(count_fixed(case.text) == case.words for case in HARD_CASES)
    assert len(HARD_CASES) >= OF
    assert fixed / len(HARD_CASES) >= RIGHT_AT_LEAST / OF
    assert sum(count_words(case.text) == case.words for case in HARD_CASES) < fixed / 2


@given(st.lists(st.text(alphabet="abcdefgé", min_size=1), max_size=50))
def test_plain_words_are_counted_one_by_one(words: list[str]) -> None:
    assert count_fixed(" ".join(words)) == len(words)


@given(st.text() | NEAR_WORDS)
def test_the_fixed_count_of_any_text_is_that_of_its_lines(text: str) -> None:
    assert 0 <= count_fixed(text) <= len(text)
    assert count_fixed(f"{text}\n\nend") == count_fixed(text) + 1


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "<!--",
        "![",
        "](",
        "\n[a]:",
        "[^",
        "<b ",
        "<b a=",
        "a@",
        "@a.",
        "www.",
        "&#1",
        "\n1",
        "\n> - ",
        "```",
        "](x (",
        "- [x",
        "\u0301",
        "🙂",
        "ผมกินข้าว",
        "ก ",
        "ក",
        "ກ1",
    ],
)
@pytest.mark.timeout(60)  # what takes the square of the length would be at it for hours
def test_a_long_text_is_counted_in_linear_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece)) + "@ www. :// ]( <"
    assert count_fixed(text) >= 0
    assert count_words(text) >= 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Le soleil se lève aujourd’hui sur la vallée.", 8),
        ("Der Fluss fließt über die Felder.", 6),
        ("Река течёт мимо старого дома.", 5),
        ("الشمس تشرق فوق البحر", 4),
        ("नदी गाँव के पास बहती है।", 6),
        ("השמש זורחת מעל הים", 4),
        ("강물이 마을 옆으로 흐른다.", 4),  # by spaces
        ("川が流れる。", 5),  # by characters
        ("แม่น้ำไหลผ่านหมู่บ้าน", 4),  # by a dictionary
        ("ខ្ញុំស្រឡាញ់ភាសាខ្មែរ", 3),
        ("ຂ້ອຍຮັກເຈົ້າ", 3),
        ("မြစ်ကြီး", 2),
        ("Thai: แม่น้ำ 3 สาย, and more", 6),
    ],
)
def test_words_of_any_language_are_counted_as_it_writes_them(text: str, words: int) -> None:
    assert count_fixed(text) == words


@given(
    st.lists(st.sampled_from(["река", "soleil", "l’eau", "δέντρο", "नदी", "الشمس", "강물", "1,5", "Über"]), min_size=1, max_size=30),
    st.sampled_from([" ", ", ", ". ", "\n"]),
)
def test_the_fixed_count_is_that_of_unicodes_word_boundaries(words: list[str], between: str) -> None:
    text = between.join(words)
    unicode = sum(any(map(str.isalnum, text[start:end])) for start, end in WordBreaker(text, "und").segments())
    assert count_fixed(text) == unicode == len(words)


@given(LENGTHS, st.integers(0, 10**6))
def test_one_asked_length_scores_as_the_paper_has_it(asked: int, written: int) -> None:
    assert s_l_fixed(Constraint(asked, asked), written) == s_l(asked, written)


@given(LENGTHS, LENGTHS, st.integers(0, 10**6))
def test_inside_the_asked_lengths_all_is_well_and_outside_nothing_is(one: int, other: int, written: int) -> None:
    asked = Constraint(min(one, other), max(one, other))
    assert (s_l_fixed(asked, written) == 100) == (asked.least <= written <= asked.most)
    assert 0 <= s_l_fixed(asked, written) <= 100


@given(LENGTHS, LENGTHS, st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_farther_from_the_asked_lengths_the_lower_the_score(one: int, other: int, near: int, far: int) -> None:
    asked, (small, large) = Constraint(min(one, other), max(one, other)), sorted((near, far))
    assert s_l_fixed(asked, min(small, asked.most)) <= s_l_fixed(asked, min(large, asked.most))
    assert s_l_fixed(asked, max(small, asked.least)) >= s_l_fixed(asked, max(large, asked.least))


@given(st.integers(100, 10**5), st.integers(100, 10**5), st.integers(1, 10**6))
def test_one_word_more_never_makes_a_leap(one: int, other: int, written: int) -> None:
    asked = Constraint(min(one, other), max(one, other))
    steepest = 450 / asked.least  # points a word, at a third of the length, where S_l = 100 · (1 − (l/l' − 1) / 2) leaves 0
    assert abs(s_l_fixed(asked, written + 1) - s_l_fixed(asked, written)) <= steepest


@pytest.mark.parametrize(
    ("prompt", "length", "meant"),
    [
        ("Write an essay of 1,000 words.", 1000, (1000, 1000)),
        ("Write at least 1,000 words.", 1000, (1000, 2000)),
        ("Write no more than 1,001 words.", 1001, (501, 1001)),
        ("Write 800 to 1,000 words.", 1000, (800, 1000)),
        ("Write 2-3k words.", 3000, (2000, 3000)),
        ("字数2000字以上", 2000, (2000, 4000)),
        ("写一篇1-2万字的小说", 20_000, (10_000, 20_000)),
        ("不少于500字，不超过800字", 800, (500, 800)),
        ("Write a poem.", 300, (300, 300)),
        ("Write at least 1,000 words.", 900, (900, 900)),
    ],
)
def test_a_length_is_taken_as_it_was_meant(prompt: str, length: int, meant: tuple[int, int]) -> None:
    assert constraint(prompt, length) == meant


def test_more_than_at_least_is_no_fault_and_far_more_is() -> None:
    asked = constraint("Write at least 1,000 words.", 1000)
    assert [round(s_l_fixed(asked, written)) for written in (500, 999, 1000, 1500, 2000, 4000)] == [50, 100, 100, 100, 100, 67]
    assert s_l_fixed(asked, 0) == 0


@pytest.mark.parametrize(("asked", "written"), [((0, 5), 0), ((5, 4), 1), ((5, 5), -1)])
def test_lengths_that_are_none_are_refused(asked: tuple[int, int], written: int) -> None:
    with pytest.raises(ValueError, match="length"):
        s_l_fixed(Constraint(*asked), written)


def test_a_prompt_that_asks_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="a length is positive"):
        constraint("Write.", 0)


def test_the_bounds_of_longbench_write_are_seen(data: Path) -> None:
    rows = [json.loads(line) for line in (data / "longbench_write" / "longbench_write.jsonl").open(encoding="utf-8")]
    meant = [(constraint(row["prompt"], row["length"]), row["length"]) for row in rows]
    assert all(asked.least <= length <= asked.most for asked, length in meant)
    assert sum(asked == (length, 2 * length) for asked, length in meant) >= AT_LEAST
    assert sum(asked.least < length == asked.most for asked, length in meant) >= 3
