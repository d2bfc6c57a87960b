"""How scores become advantages: within the group, without the scale of a reward, and without what was not scored."""

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.rewards.combine import Combine, advantages, normalised, trained_reward

SCORE = st.none() | st.floats(-5, 5, width=32)


def test_each_reward_is_normalised_before_the_mean_so_its_scale_does_not_count() -> None:
    small = {"a": [0.0, 0.01, 0.0, 0.01], "b": [1.0, 0.0, 1.0, 0.0]}
    large = {"a": [0.0, 100.0, 0.0, 100.0], "b": [1.0, 0.0, 1.0, 0.0]}
    weights = {"a": 1.0, "b": 1.0}
    assert advantages(small, weights, "average") == pytest.approx([0.0] * 4, abs=0.02)
    assert advantages(large, weights, "average") == pytest.approx([0.0] * 4, abs=0.02)


def test_weights_make_one_reward_count_more() -> None:
    scored = {"a": [0.0, 1.0], "b": [1.0, 0.0]}
    assert advantages(scored, {"a": 3.0, "b": 1.0}, "weights") == pytest.approx([-(2**0.5) / 4, 2**0.5 / 4], abs=1e-3)


def test_the_sum_is_limited_to_two_before_it_is_normalised() -> None:
    scored = {"a": [0.0, 3.0, 30.0]}
    low, high, higher = advantages(scored, {"a": 1.0}, "sum")
    assert high == higher > 0 > low


def test_what_was_not_scored_is_neither_a_zero_nor_part_of_the_mean() -> None:
    assert normalised([None, 1.0, 3.0]) == pytest.approx([0.0, -(2**-0.5), 2**-0.5], abs=1e-3)
    assert advantages({"a": [None, None, None]}, {"a": 1.0}, "sum") == [0.0, 0.0, 0.0]
    low, mean, high = advantages({"a": [0.5, 0.5, 0.5], "b": [0.6, None, 1.0]}, {"a": 1.0, "b": 1.0}, "sum")
    assert (mean, low) == (pytest.approx(0.0, abs=1e-9), pytest.approx(-high))
    assert trained_reward([{"a": [None, 1.0]}, {"a": [0.5, None]}], {"a": 1.0}) == 0.75
    assert trained_reward([{"a": [None]}], {"a": 1.0}) == 0.0


@pytest.mark.parametrize("how", ["average", "weights", "sum"])
def test_a_constant_reward_moves_nobody(how: Combine) -> None:
    assert advantages({"a": [0.3, 0.3, 0.3]}, {"a": 1.0}, how) == [0.0, 0.0, 0.0]


@given(st.lists(st.tuples(SCORE, SCORE), min_size=2, max_size=8), st.sampled_from(["average", "weights"]))
def test_advantages_have_mean_0_in_their_group(rows: list[tuple[float | None, float | None]], how: Combine) -> None:
    scored = {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}
    assert fmean(advantages(scored, {"a": 1.0, "b": 2.0}, how)) == pytest.approx(0.0, abs=1e-6)
