"""Tallies of duels: a win is a result on which both orders agree."""

import random

import pytest
from scipy.stats import binomtest

from tasks.judging.pairwise import Tally, contradicts, tally
from tasks.schema.records import Duel, Preference


def duel(a_first: Preference | None, b_first: Preference | None, b: str = "control", *, id: str = "x") -> Duel:
    return Duel(id=id, a="student", b=b, judge="j", a_first=a_first, b_first=b_first, replies=(), problem=None)


def test_the_tally_counts_a_win_only_where_both_orders_agree() -> None:
    duels = [duel("a", "a")] * 6 + [duel("b", "b")] * 2 + [duel("tie", "tie"), duel("a", "b"), duel("b", "tie"), duel(None, "a")]
    (found,) = tally([each.model_copy(update={"id": str(place)}) for place, each in enumerate(duels)])
    assert (found.duels, found.a_wins, found.b_wins, found.ties, found.contradictions, found.unread) == (12, 6, 2, 1, 2, 1)
    assert found.win_rate == 0.75
    expected = binomtest(6, 8)
    assert found.win_rate_interval
    exact = expected.proportion_ci(0.95)
    assert (found.win_rate_interval.low, found.win_rate_interval.high) == pytest.approx((exact.low, exact.high), abs=0.02)
    assert (found.topics, found.verdict) == (8, "cannot tell")
    assert found.p == pytest.approx(expected.pvalue)
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


def told(found: list[Duel]) -> Tally:
    (one,) = tally(found)
    return one


def test_few_duels_are_told_only_where_chance_is_rare() -> None:
    assert told([duel("a", "a", id=str(place)) for place in range(5)]).verdict == "cannot tell"
    assert told([duel("a", "a", id=str(place)) for place in range(6)]).verdict == "A is preferred"
    assert told([duel("b", "b", id=str(place)) for place in range(6)]).verdict == "B is preferred"


def test_several_answers_to_one_prompt_and_prompts_of_one_topic_are_one_observation() -> None:
    same = [duel("a", "a", id="x").model_copy(update={"sample": sample}) for sample in range(20)]
    assert (told(same).a_wins, told(same).topics, told(same).p, told(same).verdict) == (20, 1, 1.0, "cannot tell")
    lengths = [each.model_copy(update={"id": str(place), "topic": "tea"}) for place, each in enumerate(same)]
    assert (told(lengths).topics, told(lengths).verdict) == (1, "cannot tell")


def without_preference(luck: random.Random, *, prompts: int, samples: int) -> list[Duel]:
    """Two models of the same quality: whom a prompt suits, it suits in most of its samples."""
    found = []
    for prompt in range(prompts):
        better: Preference = luck.choice(("a", "b"))
        other: Preference = "b" if better == "a" else "a"
        for sample in range(samples):
            winner = better if luck.random() < 0.9 else other
            orders = (winner, winner) if luck.random() < 0.7 else ("a", "b")
            found.append(duel(*orders, id=str(prompt)).model_copy(update={"sample": sample}))
    return found


@pytest.mark.integration
@pytest.mark.parametrize(("prompts", "samples"), [(12, 1), (12, 4), (40, 3)])
def test_without_a_preference_one_is_told_in_at_most_six_of_a_hundred_cases(prompts: int, samples: int) -> None:
    luck = random.Random(prompts)
    found = [told(without_preference(luck, prompts=prompts, samples=samples)).verdict for _ in range(300)]
    assert sum(verdict != "cannot tell" for verdict in found) <= 0.06 * 300


@pytest.mark.integration
@pytest.mark.parametrize("by_place", [0.3, 0.8, 1.0])
def test_the_interval_of_the_first_place_covers_where_the_judge_goes_by_place(by_place: float) -> None:
    """Then both orders of a duel say the same of the place: they are one observation."""
    luck, covered, share = random.Random(1), 0, by_place + (1 - by_place) / 2
    for _ in range(200):
        orders: list[tuple[Preference, Preference]] = [("a", "b") if luck.random() < by_place else ("a", "a") for _ in range(30)]
        interval = told([duel(*order, id=str(place)) for place, order in enumerate(orders)]).first_place_interval
        assert interval
        covered += interval.low - 1e-9 <= share <= interval.high + 1e-9
    assert covered >= 0.94 * 200
