"""Agreement of repeats and of a second judge, compared with values computed by hand, numpy, scipy and sklearn."""

import json
import random
from statistics import fmean

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from tasks.judging.grades import DIMENSIONS
from tasks.judging.reliability import Reliability, _icc, reliability
from tasks.longbench.summary import s_q
from tasks.schema.records import Rubric, Verdict


def rubric(*scores: int) -> Rubric:
    return Rubric(**dict(zip(DIMENSIONS, scores * (6 // len(scores)), strict=True)))


def said(id: str, rubric: Rubric | None, *, repeat: int = 0, second: bool = False) -> Verdict:
    return Verdict(
        id=id, model="student", repeat=repeat, second=second, rubric=rubric, replies=("r",), problem=None, judge="two" if second else "one"
    )


def judged(*answers: tuple[int, ...]) -> list[Verdict]:
    """An answer for each tuple, with these grades in its repeats, the same in all dimensions."""
    return [said(f"i{place}", rubric(grade), repeat=repeat) for place, grades in enumerate(answers) for repeat, grade in enumerate(grades)]


def test_the_deviation_within_answers_is_pooled() -> None:
    found = reliability(judged((3, 5), (2, 2, 2), (4,)))
    # squares: (50-75)² + (100-75)² = 1250 over 1 + 2 degrees of freedom
    assert found.deviation == pytest.approx((1250 / 3) ** 0.5)
    assert found.deviation_by_dimension == dict.fromkeys(DIMENSIONS, pytest.approx((1250 / 3) ** 0.5))
    assert found.standard_error == pytest.approx((1250 / 3 * (1 / 2 + 1 / 3) / 2) ** 0.5)
    assert (found.verdicts, found.answers, found.repeated, found.identical) == (6, 3, 2, 0.5)


def test_a_dimension_that_moves_is_told_from_those_that_do_not() -> None:
    found = reliability([said("a", rubric(3, 3, 3, 3, 3, 3)), said("a", rubric(5, 3, 3, 3, 3, 3), repeat=1)])
    assert found.deviation_by_dimension == dict.fromkeys(DIMENSIONS, 0) | {"relevance": pytest.approx(50 / 2**0.5)}
    assert found.deviation == pytest.approx(50 / 6 / 2**0.5)
    assert found.identical == 0


def test_the_intraclass_correlation_is_that_of_shrout_and_fleiss() -> None:
    # Their table 2, six targets by four judges, read one-way: ICC(1,1) = 0.17
    rows = ((9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7))
    assert _icc(rows) == pytest.approx(0.17, abs=0.005)


def test_the_intraclass_correlation_is_one_without_noise_and_none_without_spread() -> None:
    assert reliability(judged((2, 2), (4, 4))).icc == pytest.approx(1)
    assert reliability(judged((1, 5), (1, 5))).icc == pytest.approx(-1)
    assert reliability(judged((3, 3), (3, 3))).icc is None
    assert reliability(judged((3, 4))).icc is None


def test_one_repeat_tells_nothing_of_the_judges_noise() -> None:
    found = reliability(judged((3,), (4,)))
    assert (found.repeated, found.deviation, found.standard_error, found.identical, found.icc) == (0, None, None, None, None)
    assert found.deviation_by_dimension == {}
    assert found.agreement is None


def test_an_unreadable_verdict_is_counted_and_enters_nothing() -> None:
    found = reliability([*judged((2, 4)), said("i0", None, repeat=2), said("i9", None), said("i9", rubric(5), second=True)])
    assert (found.verdicts, found.unread, found.answers, found.repeated) == (4, 2, 1, 1)
    assert found.deviation == pytest.approx(50 / 2**0.5)
    assert found.agreement is None


def test_samples_of_one_prompt_are_answers_of_their_own() -> None:
    found = reliability([verdict.model_copy(update={"sample": sample}) for sample in (0, 1) for verdict in judged((2, 4))])
    assert (found.answers, found.repeated) == (2, 2)


def test_agreement_is_what_scipy_and_sklearn_say() -> None:
    luck = random.Random(1)
    ours = {f"i{place}": [rubric(*luck.choices(range(1, 6), k=6)) for _ in range(2)] for place in range(30)}
    theirs = {id: rubric(*(max(1, score - luck.randint(0, 1)) for score in first.model_dump().values())) for id, (first, _) in ours.items()}
    verdicts = [said(id, own, repeat=repeat) for id, rubrics in ours.items() for repeat, own in enumerate(rubrics)]
    found = reliability([*verdicts, *(said(id, own, second=True) for id, own in theirs.items())]).agreement
    assert found
    # Rounded: 41.666666666666664 and 41.66666666666667 are one rank.
    means, others = [round(fmean(map(s_q, rubrics)), 6) for rubrics in ours.values()], [round(s_q(own), 6) for own in theirs.values()]
    assert (found.second_judge, found.answers) == ("two", 30)
    assert found.overall.bias == pytest.approx(fmean(others) - fmean(means))
    assert found.overall.bias < 0
    assert found.overall.mean_absolute == pytest.approx(np.abs(np.subtract(others, means)).mean())
    assert found.overall.pearson == pytest.approx(stats.pearsonr(means, others).statistic)
    assert found.overall.spearman == pytest.approx(stats.spearmanr(means, others).statistic)
    assert found.overall.bias == pytest.approx(fmean(dimension.bias for dimension in found.by_dimension.values()))


def test_weighted_kappa_is_that_of_its_definition() -> None:
    pairs = [(1, 1), (2, 2), (3, 4), (5, 5), (4, 2), (5, 4)]
    verdicts = [said(f"i{place}", rubric(mine)) for place, (mine, _) in enumerate(pairs)]
    found = reliability([*verdicts, *(said(f"i{place}", rubric(other), second=True) for place, (_, other) in enumerate(pairs))]).agreement
    assert found
    observed = fmean((mine - other) ** 2 for mine, other in pairs)
    expected = fmean((mine - other) ** 2 for mine, _ in pairs for _, other in pairs)
    assert found.overall.kappa == pytest.approx(1 - observed / expected)
    assert found.overall.kappa == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True), labels=[1, 2, 3, 4, 5], weights="quadratic"))
    assert found.by_dimension["clarity"].kappa == pytest.approx(1 - observed / expected)


@pytest.mark.parametrize("second", [3, 4])
def test_what_is_undefined_is_none_and_never_nan(second: int) -> None:
    verdicts = [*judged((3, 3), (3, 3), (3, 3)), *(said(f"i{place}", rubric(second), second=True) for place in range(3))]
    found = reliability(verdicts)
    assert found.agreement
    assert (found.agreement.overall.pearson, found.agreement.overall.spearman) == (None, None)
    assert found.agreement.overall.kappa == (None if second == 3 else 0)
    assert found.agreement.overall.bias == (second - 3) * 25
    assert "NaN" not in json.dumps(found.model_dump())
    assert Reliability.model_validate_json(found.model_dump_json()) == found


def test_two_answers_correlate_perfectly_whatever_they_are() -> None:
    verdicts = [*judged((2,), (4,)), said("i0", rubric(1), second=True), said("i1", rubric(5), second=True)]
    found = reliability(verdicts).agreement
    assert found
    assert found.overall.pearson is None


def test_a_second_judge_alone_is_no_judge() -> None:
    with pytest.raises(ValueError, match="no verdict of a first judge"):
        reliability([said("a", rubric(3), second=True)])


def test_judges_that_agree_on_no_answer_have_no_kappa_although_they_grade_one_dimension_higher() -> None:
    """Pooled, the gap between dimensions passes for agreement on the answers."""
    luck = random.Random(4)

    def graded() -> Rubric:
        return rubric(5, *(luck.choice((1, 2)) for _ in range(5)))

    places = [(place, second) for place in range(200) for second in (False, True)]
    grades = [graded().model_copy(update={"relevance": luck.choice((4, 5))}) for _ in places]
    verdicts = [said(f"i{place}", grade, second=second) for (place, second), grade in zip(places, grades, strict=True)]
    found = reliability(verdicts).agreement
    assert found
    assert all(abs(alike.kappa or 0) < 0.2 for alike in found.by_dimension.values())
    assert found.overall.kappa == pytest.approx(fmean(alike.kappa or 0 for alike in found.by_dimension.values()))
    assert abs(found.overall.kappa or 0) < 0.1
    assert found.kappa_pooled
    assert found.kappa_pooled > 0.6
