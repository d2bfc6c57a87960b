"""A recorded answer becomes a training pair: a text of a drawn length, and a prompt with a length request that is true."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.corpus.recorded import EXACT, RecordedPair, pair_of, rounded
from tasks.schema.params import Bounds
from tasks.schema.records import Reason
from tasks.text.counts import count_words, s_l
from tasks.text.length_requests import parse_length_request
from tests.recorded_texts import article

BOUNDS = Bounds(min=100, max=800)


def made(prompt: str, seed: int = 0) -> RecordedPair:
    pair = pair_of(prompt, article(seed, words=1_500), BOUNDS)
    assert isinstance(pair, RecordedPair), pair
    return pair


@pytest.mark.parametrize(
    ("prompt", "kept", "gone"),
    [
        ("Tell me about the beehives of the old abbey.", "beehives of the old abbey", ()),
        ("Write about beehives. Write at least 2000 words.", "Write about beehives.", ("2000",)),
        (
            "Describe a mill.\n[Requirements]:\n1. The essay should be no shorter than 4000 words.\n",
            "Describe a mill.",
            ("4000", "Requirements"),
        ),
        ("Describe a mill.\n[Requirements]:\n1. Be formal.\n2. The text should be long enough.\n", "1. Be formal.", ("long enough",)),
        ("Write a 2,000-word essay about kites.", "essay about kites", ("2,000",)),
        ("Write an essay of at least two thousand words about kites.", "about kites", ("two thousand",)),
        ("Write 10 pages about kites.", "about kites", ("10 pages",)),
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_the_prompt_asks_for_the_length_of_the_cut_text_and_for_no_other(prompt: str, kept: str, gone: tuple[str, ...], seed: int) -> None:
    pair = made(prompt, seed)
    assert kept in pair.prompt
    assert not any(words in pair.prompt for words in gone)
    assert parse_length_request(pair.prompt).target == pair.words
    written = count_words(pair.text)
    assert 100 <= written <= 800
    assert s_l(pair.words, written) >= EXACT
    assert article(seed, words=1_500).startswith(pair.text)
    assert pair.text.endswith(".")


def test_lengths_spread_over_the_whole_range_and_requests_over_many_wordings() -> None:
    pairs = [made(f"Tell me about the number {seed} tram.", seed) for seed in range(80)]
    counts = sorted(count_words(pair.text) for pair in pairs)
    assert counts[8] < 150
    assert counts[40] < 400
    assert counts[72] > 550
    wordings = {
        " ".join(pair.prompt.replace(f"{pair.words:,}", "N").split()).replace(f"number {n} tram", "") for n, pair in enumerate(pairs)
    }
    assert len(wordings) > 8
    assert pairs == [made(f"Tell me about the number {seed} tram.", seed) for seed in range(80)]


@given(st.integers(100, 800))
def test_a_requested_number_is_as_round_as_its_score_allows(words: int) -> None:
    number = rounded(words, BOUNDS)
    assert number in BOUNDS
    assert s_l(number, words) >= EXACT
    assert number % 5 == 0


@pytest.mark.parametrize(
    ("prompt", "answer", "reason"),
    [
        ("Tell me.", "  ", Reason.EMPTY),
        ("Tell me.", "Too little to learn from.", Reason.TOO_SHORT),
        ("Tell me.", "and " * 1_500, Reason.TRUNCATED),
        ("Summarize this report. " + article(1, words=400), article(2, words=400), Reason.NOT_SELF_CONTAINED),
    ],
)
def test_a_row_that_gives_no_pair_gets_a_reason(prompt: str, answer: str, reason: Reason) -> None:
    found = pair_of(prompt, answer, BOUNDS)
    assert not isinstance(found, RecordedPair)
    assert found[0] is reason


def test_a_chinese_prompt_gets_a_chinese_length_request() -> None:
    text = "。".join(f"第{n}号电车从山上开到海边，车上坐着{n + 3}个去市场的人" for n in range(60)) + "。"
    pair = pair_of("请介绍一下这座城市的电车。", text, BOUNDS)
    assert isinstance(pair, RecordedPair)
    assert parse_length_request(pair.prompt).target == pair.words
    assert "字" in pair.prompt
