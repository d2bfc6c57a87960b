import numpy as np
import pytest
from scipy.stats import bootstrap

from tasks.longbench.intervals import holm, intervals, sign_flip

RANDOM = np.random.default_rng(7)
SKEWED = [float(value) for value in 100 * RANDOM.beta(5, 1.2, size=40)]
OTHERS = [float(value) for value in 100 * RANDOM.beta(2, 3, size=40)]


@pytest.mark.parametrize("values", [SKEWED, OTHERS, SKEWED[:6]])
def test_an_interval_is_the_one_that_scipy_finds(values: list[float]) -> None:
    expected = bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(1)).confidence_interval
    found = intervals(values, [None] * len(values)).s_l
    assert found is not None
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.04 * width)
    assert found.high == pytest.approx(expected.high, abs=0.04 * width)


def test_the_mean_of_both_scores_is_resampled_jointly() -> None:
    """What one score loses the other gains on the same item: their mean does not move, which two separate bootstraps cannot see."""
    mirrored = [100 - value for value in SKEWED]
    found = intervals(SKEWED, mirrored)
    assert found.s_bar is not None
    assert found.s_l is not None
    assert (found.s_bar.low, found.s_bar.high) == (pytest.approx(50), pytest.approx(50))
    assert found.s_l.high - found.s_l.low > 5


def test_unscored_items_count_in_the_length_score_alone() -> None:
    quality: list[float | None] = [*OTHERS[:20], *[None] * 20]
    found, scored = intervals(SKEWED, quality), intervals(SKEWED[:20], OTHERS[:20])
    assert found.s_l == intervals(SKEWED, OTHERS).s_l
    assert found.s_q is not None
    assert scored.s_q is not None
    assert found.s_q.low == pytest.approx(scored.s_q.low, abs=3)
    assert found.s_bar is not None


def test_what_has_no_interval_has_none() -> None:
    assert intervals([50.0], [50.0]) == (None, None, None)
    one_scored = intervals([50.0, 60.0, 70.0], [50.0, None, None])
    assert one_scored.s_l is not None
    assert (one_scored.s_q, one_scored.s_bar) == (None, None)


def test_equal_values_have_an_interval_of_no_width() -> None:
    found = intervals([80.0] * 5, [60.0] * 5)
    assert [(each.low, each.high) for each in found if each] == [(80, 80), (60, 60), (70, 70)]


def test_the_same_items_give_the_same_interval() -> None:
    assert intervals(SKEWED, OTHERS) == intervals(SKEWED, OTHERS)


def test_few_items_of_one_direction_prove_nothing() -> None:
    length, quality, both = sign_flip([5.0, 6.0, 7.0], [5.0, 6.0, 7.0])
    assert length == pytest.approx(0.25, abs=0.02)  # 2 of the 8 ways to give three signs
    assert quality == pytest.approx(0.25, abs=0.02)
    assert both == pytest.approx(0.25, abs=0.02)


def test_a_difference_on_many_items_is_told_and_none_is_not() -> None:
    assert sign_flip([3.0 + value for value in range(20)], [None] * 20)[0] < 0.001
    assert sign_flip([float((-1) ** value) for value in range(20)], [None] * 20) == (1.0, None, None)


def test_holms_correction_is_that_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
