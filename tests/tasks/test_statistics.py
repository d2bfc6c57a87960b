"""Intervals and tests keep their level, by simulation on recorded scores and on difficult distributions."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from tasks.evaluation.recorded import read_recorded
from tasks.statistics import Interval, Numbers, holm, intervals, paired, share, sign_test
from tasks.text.counts import count_words, s_l

RANDOM = np.random.default_rng(7)
SKEWED = [float(value) for value in 100 * RANDOM.beta(5, 1.2, size=40)]
OTHERS = [float(value) for value in 100 * RANDOM.beta(2, 3, size=40)]
MANY = 20_000  # items of a population
SHAPES = {
    "uniform": 100 * RANDOM.random(MANY),
    "floor, 80% zeros": np.where(RANDOM.random(MANY) < 0.8, 0, 100 * RANDOM.random(MANY)),
    "floor, 97% zeros": np.where(RANDOM.random(MANY) < 0.97, 0, 100 * RANDOM.random(MANY)),
    "all zero": np.zeros(MANY),
    "skewed": np.minimum(100, RANDOM.exponential(10, MANY)),
    "ceiling": 100 * RANDOM.beta(20, 1, MANY),
    "ceiling, 3% zeros": np.where(RANDOM.random(MANY) < 0.03, 0, 100 * RANDOM.beta(20, 1, MANY)),
    "two values": np.where(RANDOM.random(MANY) < 0.5, 20, 90),
}


def length_interval(values: Numbers, clusters: list[int] | None = None) -> Interval:
    found = intervals(list(values), [None] * len(values), clusters).s_l
    assert found
    return found


def covered(population: Numbers, size: int, *, times: int = 200) -> float:
    """How often the interval of `size` items drawn from the population has its mean."""
    luck, mean = np.random.default_rng(size), population.mean()
    found = [length_interval(luck.choice(population, size)) for _ in range(times)]
    return float(np.mean([each.low - 1e-9 <= mean <= each.high + 1e-9 for each in found]))


@pytest.mark.parametrize("size", [20, 60])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_interval_covers_the_mean_whatever_the_scores_look_like(shape: str, size: int) -> None:
    assert covered(SHAPES[shape], size) >= 0.93


@pytest.mark.integration
def test_an_interval_covers_the_mean_of_recorded_scores_from_twenty_items_on(data: Path) -> None:
    for folder in sorted((data / "hellobench" / "length_constrained").iterdir()):
        for asked, scores in recorded(folder).items():
            for size in (20, 40):
                assert covered(np.array(scores), size, times=120) >= 0.9, (folder.name, asked, size)


def recorded(folder: Path) -> dict[int, list[float]]:
    """S_l of a model's recorded answers by asked length."""
    found: dict[int, list[float]] = {}
    for one in read_recorded(folder, format="hellobench"):
        found.setdefault(one.item.length, []).append(s_l(one.item.length, count_words(one.response)))
    return found


def test_of_scores_at_the_floor_or_the_ceiling_the_next_one_may_be_another() -> None:
    floor, ceiling = length_interval(np.zeros(26)), length_interval(np.full(26, 100.0))
    exact = 100 * binomtest(0, 26).proportion_ci(0.95).high
    assert floor.low == 0
    assert floor.high == pytest.approx(exact, abs=0.6)
    assert ceiling.high == pytest.approx(100)
    assert ceiling.low == pytest.approx(100 - exact, abs=0.6)


def test_of_two_values_it_is_the_exact_interval_of_a_share() -> None:
    for hits, number in ((3, 30), (12, 40), (39, 40)):
        expected = binomtest(hits, number).proportion_ci(0.95)
        found = length_interval(np.array([100.0] * hits + [0.0] * (number - hits)))
        assert (found.low, found.high) == pytest.approx((100 * expected.low, 100 * expected.high), abs=0.8)
        counted = share([1] * hits + [0] * (number - hits), [1] * number)
        assert counted
        assert (100 * counted.low, 100 * counted.high) == pytest.approx((found.low, found.high))


def test_of_many_items_it_is_the_normal_interval() -> None:
    values = np.random.default_rng(3).normal(60, 12, size=5_000).clip(0, 100)
    error = 1.96 * values.std() / len(values) ** 0.5
    found = length_interval(values)
    assert (found.low, found.high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.15)


def topics(luck: np.random.Generator, *, number: int, lengths: int, correlation: float) -> tuple[Numbers, list[int]]:
    """Scores around 50 of `number` topics at `lengths` lengths, and the topic of each; items of one topic correlate."""
    shared = luck.normal(size=(number, 1)) * correlation**0.5
    own = luck.normal(size=(number, lengths)) * (1 - correlation) ** 0.5
    return (50 + 12 * (shared + own)).clip(0, 100).ravel(), [topic for topic in range(number) for _ in range(lengths)]


@pytest.mark.integration
@pytest.mark.parametrize("correlation", [0.3, 0.6, 0.9])
def test_an_interval_of_topics_at_several_lengths_covers_and_one_of_items_would_not(correlation: float) -> None:
    hits = Counter[str]()
    for kind in ("topics", "items"):
        luck = np.random.default_rng(5)
        for _ in range(200):
            values, names = topics(luck, number=30, lengths=4, correlation=correlation)
            found = length_interval(values, names if kind == "topics" else None)
            hits[kind] += found.low <= 50 <= found.high
    assert hits["topics"] >= 0.92 * 200
    assert correlation < 0.6 or hits["items"] < 0.87 * 200


OTHER_CASES = [pytest.param(number, correlation, marks=pytest.mark.slow) for number, correlation in ((8, 0.9), (40, 0.3))]


@pytest.mark.integration
@pytest.mark.parametrize(("number", "correlation"), [(8, 0.3), (40, 0.9), *OTHER_CASES])
def test_a_difference_that_is_none_is_told_in_at_most_six_of_a_hundred_cases(number: int, correlation: float) -> None:
    """Two models of the same quality: what they make of a topic correlates over its lengths."""
    luck, told = np.random.default_rng(number), 0
    for _ in range(3000):
        ours, names = topics(luck, number=number, lengths=4, correlation=correlation)
        theirs, _ = topics(luck, number=number, lengths=4, correlation=correlation)
        found = paired(list(ours - theirs), [None] * len(ours), names).s_l
        assert found.interval
        told += found.p <= 0.05
        leaves_out = not found.interval.low <= 0 <= found.interval.high
        assert leaves_out == (found.p <= 0.05) or found.p == pytest.approx(0.05, abs=0.003)
    assert told <= 0.06 * 3000


def test_the_interval_of_a_difference_is_where_the_test_says_nothing() -> None:
    luck = np.random.default_rng(2)
    for size in (8, 40):
        differences = luck.normal(3, 4, size=size)
        found = paired(list(differences), [None] * size).s_l.interval
        assert found
        for inside, outside in ((found.low + 0.1, found.low - 0.1), (found.high - 0.1, found.high + 0.1)):
            assert paired(list(differences - inside), [None] * size).s_l.p > 0.04
            assert paired(list(differences - outside), [None] * size).s_l.p < 0.06


def test_the_mean_of_both_scores_is_drawn_jointly() -> None:
    """What one score loses the other gains on the same item: their mean does not move, which two intervals apart cannot see."""
    mirrored: list[float | None] = [100 - value for value in SKEWED]
    found, apart = intervals(SKEWED, mirrored), intervals(SKEWED, [*reversed(mirrored)])
    assert found.s_bar
    assert apart.s_bar
    assert found.s_bar.low < 50 < found.s_bar.high
    assert found.s_bar.high - found.s_bar.low < apart.s_bar.high - apart.s_bar.low
    change = [value - 50 for value in SKEWED]
    both = paired(change, [-value for value in change]).s_bar
    assert both
    assert both.p == 1.0
    assert both.interval is None or (both.interval.low, both.interval.high) == pytest.approx((0, 0))


def test_unscored_items_count_in_the_length_score_alone() -> None:
    quality: list[float | None] = [*OTHERS[:20], *[None] * 20]
    found, scored = intervals(SKEWED, quality), intervals(SKEWED[:20], OTHERS[:20])
    assert found.s_l == intervals(SKEWED, OTHERS).s_l
    assert found.s_q
    assert scored.s_q
    assert found.s_q.low == pytest.approx(scored.s_q.low, abs=3)
    assert found.s_bar


def test_what_has_no_interval_has_none() -> None:
    assert intervals([50.0], [50.0]) == (None, None, None)
    assert intervals([50.0, 60.0, 70.0], [50.0, 60.0, 70.0], ["one", "one", "one"]) == (None, None, None)
    one_scored = intervals([50.0, 60.0, 70.0], [50.0, None, None])
    assert one_scored.s_l
    assert (one_scored.s_q, one_scored.s_bar) == (None, None)
    assert share([1], [2]) is None
    assert share([], []) is None


def test_the_same_items_give_the_same_interval() -> None:
    assert intervals(SKEWED, OTHERS) == intervals(SKEWED, OTHERS)
    assert paired(SKEWED, OTHERS) == paired(SKEWED, OTHERS)


def test_few_items_of_one_direction_prove_nothing() -> None:
    found = paired([5.0, 6.0, 7.0], [5.0, 6.0, 7.0])
    assert [each and each.p for each in found] == [0.25, 0.25, 0.25]  # 2 of the 8 ways to give three signs
    assert [each and each.interval for each in found] == [None, None, None]
    assert paired([5.0] * 6, [None] * 6).s_l == (2 / 64, Interval(low=5, high=5))
    assert paired([5.0] * 24, [None] * 24, [place // 8 for place in range(24)]).s_l == (0.25, None)


def test_a_difference_on_many_items_is_told_and_none_is_not() -> None:
    assert paired([3.0 + value for value in range(20)], [None] * 20).s_l.p < 0.001
    assert paired([float((-1) ** value) for value in range(20)], [None] * 20).s_l.p == 1.0
    assert paired([0.0] * 20, [None] * 20) == ((1.0, None), None, None)


def test_fifty_thousand_items_have_an_interval_too() -> None:
    values = np.random.default_rng(1).random(50_000) * 100
    error = 1.96 * values.std() / len(values) ** 0.5
    found, difference = length_interval(values), paired(list(values - 50), [None] * len(values)).s_l.interval
    assert (found.low, found.high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.12)
    assert difference
    assert difference.high - difference.low == pytest.approx(2 * error, rel=0.15)


@pytest.mark.parametrize(("wins", "losses"), [(6, 0), (9, 1), (3, 3), (40, 25), (0, 1), (300, 250)])
def test_the_sign_test_is_the_exact_binomial_test(wins: int, losses: int) -> None:
    assert sign_test([1] * wins + [-1] * losses) == pytest.approx(binomtest(wins, wins + losses).pvalue)


def test_the_sign_test_of_larger_numbers_counts_every_way() -> None:
    assert sign_test([2, 1, 1]) == 2 / 8
    assert sign_test([2, -1, -1, 0]) == 1.0
    assert sign_test([]) == 1.0


def test_holms_correction_is_that_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
