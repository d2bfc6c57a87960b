"""The length bias of pairs with figures that can be computed by hand."""

import pytest

from tasks.schema.records import Answer, Message, Pair
from tasks.training.pair_bias import length_bias

ASK = (Message(role="user", content="Write."),)


def side(words: int, s_l: float, s_q: float | None) -> Answer:
    return Answer(text="x", ended=True, words=words, s_l=s_l, s_q=s_q)


def pair(chosen: tuple[int, float, float | None], rejected: tuple[int, float, float | None], *, asked: int | None = 100) -> Pair:
    return Pair(id="1", prompt=ASK, asked=asked, chosen=side(*chosen), rejected=side(*rejected))


def test_shares_and_margins_are_of_chosen_minus_rejected() -> None:
    pairs = [
        pair((100, 100.0, 60.0), (80, 87.5, 50.0)),
        pair((100, 100.0, 50.0), (160, 80.0, 60.0)),
        pair((100, 90.0, 50.0), (100, 80.0, 50.0)),
    ]
    found = length_bias(pairs).overall
    assert found
    assert (found.pairs, found.longer_chosen, found.longer_better) == (3, 0.5, 1.0)
    assert found.words == pytest.approx((20 - 60 + 0) / 3)
    assert found.s_l == pytest.approx((12.5 + 20 + 10) / 3)
    assert found.s_q == 0
    assert found.score == pytest.approx(found.s_l / 2)
    assert found.longer_chosen_interval
    assert found.longer_chosen_interval.low < 0.5 < found.longer_chosen_interval.high


def test_margins_are_told_by_the_papers_bins_shortest_first() -> None:
    pairs = [pair((10, 9.0, 9.0), (9, 8.0, 8.0), asked=asked) for asked in (3000, 100, 100, 600)]
    assert [(name, group.pairs) for name, group in length_bias(pairs).by_bin.items()] == [
        ("[0,500)", 2),
        ("[500,2000)", 1),
        ("[2000,4000)", 1),
    ]


def test_where_nothing_differs_there_is_no_share() -> None:
    found = length_bias([pair((100, 100.0, 60.0), (100, 100.0, 40.0))]).overall
    assert found
    assert (found.longer_chosen, found.longer_chosen_interval, found.longer_better) == (None, None, None)


def test_general_pairs_and_unscored_ones_are_left_out() -> None:
    general, unscored = pair((100, 90.0, 60.0), (80, 80.0, 50.0), asked=None), pair((100, 90.0, None), (80, 80.0, 50.0))
    assert length_bias([general]).overall is None
    found = length_bias([general, unscored, pair((100, 90.0, 60.0), (80, 80.0, 50.0))]).overall
    assert found
    assert (found.pairs, found.s_q) == (1, 10.0)


def test_pairs_that_no_judge_scored_have_the_bias_of_their_lengths() -> None:
    found = length_bias([pair((100, 90.0, None), (80, 80.0, None))]).overall
    assert found
    assert (found.pairs, found.words, found.s_l, found.s_q, found.score, found.longer_better) == (1, 20, 10.0, None, None, None)
    assert length_bias([]).by_bin == {}
