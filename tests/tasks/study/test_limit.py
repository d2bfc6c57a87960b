"""The study's figures on answers of known lengths, and the fitted line compared with its definition."""

from typing import Any

import pytest

from tasks.longbench.benchmark import BenchmarkPrompt, item_of
from tasks.schema.records import Prediction
from tasks.schema.study_results import Arm
from tasks.study.limit import ArmTraining, arm, limit, said, table


def answers(*words: int, asked: int = 100, sample: int | None = None) -> list[Prediction]:
    item = item_of(BenchmarkPrompt("Write.", asked))
    return [
        Prediction(
            item=item,
            model="cap",
            sample=n if sample is None else sample,
            response="word " * count,
            finish_reason="stop",
            tokens=1,
            seconds=1.0,
        )
        for n, count in enumerate(words)
    ]


def made(cap: int, longest: float, mean: float) -> Arm:
    """Its ceiling is its longest."""
    long: dict[str, Any] = {"longest": longest, "longest_error": 1.0, "ceiling": longest, "ceiling_low": None, "ceiling_high": None}
    return Arm(cap=cap, trained=cap, samples=9, answers=8, mean=mean, mean_error=1.0, at_most=mean, **long)


def test_an_arm_is_its_longest_answer_and_its_mean() -> None:
    found = arm(200, ArmTraining(samples=50, longest=190), [*answers(10, 30, 50), *answers(110, 130, asked=3200)], passes=1)
    assert (found.cap, found.trained, found.samples, found.answers, found.longest) == (200, 190, 50, 5, 130)
    assert (found.mean, found.at_most, found.longest_error) == (66, 120, 0)
    assert found.mean_error == pytest.approx((2680 / 5) ** 0.5, rel=0.05)


def test_the_longest_is_that_of_a_pass_and_its_error_is_over_the_passes() -> None:
    passes = [answers(10, longest, sample=number) for number, longest in enumerate((100, 130, 160))]
    found = arm(200, ArmTraining(samples=50, longest=190), [answer for one in passes for answer in one], passes=3)
    assert found.longest == 130
    assert found.longest_error == pytest.approx(30 / 3**0.5)


def test_one_answer_in_fifty_that_runs_away_does_not_lift_the_ceiling() -> None:
    lengths = [90 + number % 11 for number in range(98)]
    found = arm(100, ArmTraining(samples=50, longest=100), answers(*lengths, 900, 1500), passes=100)
    assert 99 <= found.ceiling <= 101
    assert (found.ceiling_low, found.ceiling_high) == (99, 1500)  # of a hundred answers the interval still does
    assert arm(100, ArmTraining(samples=50, longest=100), answers(*lengths[:20]), passes=20).ceiling_high is None


def test_arms_on_a_line_give_that_line_and_no_error() -> None:
    found = limit([made(cap, 10 + cap, cap / 2) for cap in (400, 100, 800, 200)], temperature=0.5)
    assert [one.cap for one in found.arms] == [100, 200, 400, 800]
    assert found.longest
    assert found.ceiling == found.longest
    assert found.mean
    assert (found.longest.slope, found.longest.intercept, found.longest.r_squared) == pytest.approx((1.0, 10.0, 1.0))
    assert found.longest.slope_error == pytest.approx(0, abs=1e-9)
    assert found.mean.slope == pytest.approx(0.5)
    assert found.rising


def test_the_error_is_that_of_least_squares_and_the_interval_students() -> None:
    found = limit([made(cap, longest, 1.0) for cap, longest in ((1, 2), (2, 3), (3, 5), (4, 6))], temperature=None).longest
    assert found
    assert found.slope_error
    assert found.slope_error == pytest.approx((0.2 / 2 / 5) ** 0.5)  # sum of squared residuals 0.2, two degrees of freedom, Sxx 5
    assert found.slope_interval
    assert (found.slope_interval[1] - found.slope) / found.slope_error == pytest.approx(4.3027, abs=1e-3)
    assert said(found) == "0 + 1.40 · cap, slope ± 0.14, R² 0.980"


def test_a_ceiling_that_falls_once_is_not_rising() -> None:
    assert not limit([made(100, 120, 1), made(200, 110, 1), made(400, 300, 1)], temperature=None).rising
    assert not limit([made(100, 120, 1), made(200, 120, 1)], temperature=None).rising


def test_two_arms_have_a_line_without_an_error_and_one_has_none() -> None:
    two = limit([made(100, 120, 1), made(200, 220, 2)], temperature=None).longest
    assert two
    assert (two.slope, two.slope_error, two.slope_interval) == (1.0, None, None)
    assert limit([made(100, 120, 1)], temperature=None).longest is None
    assert said(None) == "one cap has no line"


def test_the_table_has_a_row_for_each_arm() -> None:
    header, first, *_ = table(limit([made(200, 210, 2.5), made(100, 120, 1.5)], temperature=None)).splitlines()
    assert header.split(",")[:5] == ["cap", "trained", "samples", "answers", "longest"]
    assert first.split(",")[:5] == ["100", "100", "9", "8", "120.0"]
