import re
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.counts import chinese_share, count_words, s_l


@pytest.mark.parametrize(
    ("ratio", "score"),
    [(1 / 3, 0), (0.5, 50), (0.75, 83.33), (0.8, 87.5), (0.9, 94.44), (1, 100), (1.1, 96.67), (1.5, 83.33), (2, 66.67), (3, 33.33), (4, 0)],
)
def test_the_length_score_is_the_papers(ratio: float, score: float) -> None:
    assert s_l(6000, round(6000 * ratio)) == pytest.approx(score, abs=0.005)


def test_an_empty_answer_scores_nothing() -> None:
    assert s_l(100, 0) == 0.0


@pytest.mark.parametrize(("asked", "written"), [(0, 1), (-1, 1), (1, -1)])
def test_a_length_that_is_none_is_refused(asked: int, written: int) -> None:
    with pytest.raises(ValueError, match="a length is positive"):
        s_l(asked, written)


@given(st.integers(1, 10**6), st.integers(0, 10**7))
def test_the_length_score_lies_between_0_and_100_and_only_the_asked_length_has_100(asked: int, written: int) -> None:
    assert 0 <= s_l(asked, written) <= 100
    assert (s_l(asked, written) == 100) == (asked == written)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("don't stop", 3),
        ("GPT4 H2O B2B", 0),
        ("使用GPT模型", 4),
        ("使用 GPT 模型", 5),
        ("café naïve", 0),
        ("かな", 0),
        ("一二三", 3),
    ],
)
def test_words_are_counted_as_the_official_scripts_count_them(text: str, words: int) -> None:
    assert count_words(text) == words


def test_prompts_and_answers_are_counted_to_the_word_as_by_the_official_expressions(data: Path) -> None:
    files = [
        *data.glob("longbench_write/*.jsonl"),
        *data.glob("instructions/*.jsonl"),
        *data.glob("hellobench/length_constrained/*/*_8k_*.jsonl"),
    ]
    texts = [str(value) for path in files for line in path.read_bytes().splitlines() for value in orjson.loads(line).values()]
    assert len(texts) > 1000
    for text in texts:
        assert count_words(text) == len(re.findall(r"[\u4e00-\u9fff]", text)) + len(re.findall(r"\b[a-zA-Z]+\b", text))


@given(
    st.lists(
        st.sampled_from(["word", "naïve", "it's", "一二", "GPT4", "x_1", "３", "か", "é", "-", "#", " ", "\n", "。", "😀", "\u2019", "ﬁ"])
    )
)
def test_mixed_texts_are_counted_to_the_word_as_by_the_official_expressions(parts: list[str]) -> None:
    text = "".join(parts)
    assert count_words(text) == len(re.findall(r"[\u4e00-\u9fff]", text)) + len(re.findall(r"\b[a-zA-Z]+\b", text))


def test_the_chinese_share_leaves_white_space_out() -> None:
    assert chinese_share("一 二\nab") == 0.5
    assert chinese_share("") == 0.0
