"""Duels summed up: a win is what both orders agree on."""

import pytest
from scipy.stats import binomtest

from tasks.judging.pairwise import contradicts, tally
from tasks.schema.records import Duel, Preference


def duel(a_first: Preference | None, b_first: Preference | None, b: str = "control") -> Duel:
    return Duel(id="x", a="student", b=b, judge="j", a_first=a_first, b_first=b_first, replies=(), problem=None)


def test_the_tally_counts_a_win_only_where_both_orders_agree() -> None:
    duels = [duel("a", "a")] * 6 + [duel("b", "b")] * 2 + [duel("tie", "tie"), duel("a", "b"), duel("b", "tie"), duel(None, "a")]
    (found,) = tally(duels)
    assert (found.duels, found.a_wins, found.b_wins, found.ties, found.contradictions, found.unread) == (12, 6, 2, 1, 2, 1)
    assert found.win_rate == 0.75
    expected = binomtest(6, 8).proportion_ci(0.95, method="wilson")
    assert found.win_rate_interval
    assert (found.win_rate_interval.low, found.win_rate_interval.high) == pytest.approx((expected.low, expected.high))
    # Won in both orders, the winner stands in front once: 8 of 16. ("a", "b"): 2 of 2. ("b", "tie") and (None, "a"): 0 of 2.
    assert found.first_place == pytest.approx(10 / 20)


def test_each_pair_of_models_has_a_tally_of_its_own_and_nothing_has_none() -> None:
    found = tally([duel("a", "a"), duel("tie", "tie", b="third"), duel("a", "a")])
    assert [(one.b, one.duels, one.a_wins, one.win_rate) for one in found] == [("control", 2, 2, 1.0), ("third", 1, 0, None)]
    assert (found[1].win_rate_interval, found[1].first_place, found[1].first_place_interval) == (None, None, None)
    assert tally([]) == []


def test_half_a_contradiction_is_none() -> None:
    assert contradicts(duel("a", "tie"))
    assert not any(map(contradicts, (duel("a", None), duel(None, None), duel("tie", "tie"))))
