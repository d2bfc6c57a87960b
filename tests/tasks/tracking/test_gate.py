"""The gate, axis by axis: passed, failed and missing values, and their messages."""

from collections.abc import Sequence
from typing import Any

import pytest

from tasks.longbench.compare import Side, paired
from tasks.longbench.scorecard import Scorecard
from tasks.longbench.summary import summarise
from tasks.schema.records import Degeneration, FixedLength, ScoredItem
from tasks.tracking.gate import Axis, Contest, Decision, decide, weigh
from tests.tasks import promotions

GATE = promotions.GATE.model_copy(update={"max_repetition": 0.3})
UNJUDGED_GATE = GATE.model_copy(update={"min_s_bar": None})


def item(asked: int, *, s_l: float = 80.0, s_q: float | None = 60.0, **more: Any) -> ScoredItem:
    whole = {
        "id": f"i{asked}",
        "model": "student",
        "type": "News",
        "language": "en" if asked in (300, 1500, 3500, 9000) else "zh",
        "asked": asked,
        "written": 1,
    }
    decay = Degeneration(repetition=0.1, looped=0.0, unfinished=False, switches=0)
    fixed = FixedLength(written=1, least=1, most=1, s_l=s_l - 10)
    return ScoredItem(**{**whole, "s_l": s_l, "s_q": s_q, "fixed": fixed, "degeneration": decay, **more})


def items(gain: Sequence[float] = (0.0,) * 8, **more: Any) -> list[ScoredItem]:
    return [item(asked, s_q=60.0 + 2 * points, **more) for asked, points in zip(promotions.ASKED, gain, strict=True)]


def card(found: list[ScoredItem] | None = None, **more: Any) -> Scorecard:
    return summarise(items() if found is None else found).model_copy(update=more)


def against(candidate: list[ScoredItem], champion: list[ScoredItem]) -> Contest:
    return Contest("1", paired(Side("this version", candidate), Side("version 1", champion)))


def gate(own: Scorecard, contest: Contest | None = None, **bounds: Any) -> dict[str, Axis]:
    general = bounds.pop("general", {})
    return {axis.name: axis for axis in weigh(own, general=general, contest=contest, promote=GATE.model_copy(update=bounds))}


def decided(own: Scorecard, contest: Contest | None, *, is_champion: bool = False, blocked: str | None = None) -> Decision:
    runs = {"training_run": "t", "evaluation_run": "e"}
    return decide(own, "2", model="student", is_champion=is_champion, contest=contest, general={}, promote=GATE, blocked=blocked, **runs)


@pytest.mark.parametrize(
    ("changed", "bounds", "axis", "said"),
    [
        ({}, {"min_s_bar": 70.1}, "s_bar", "s_bar 70.00, at least 70.10: fails"),
        (
            {"s_bar": None},
            {},
            "s_bar",
            "s_bar is missing (no answer is scored; see the judge's problems in data/judge), at least 50.00: fails",
        ),
        ({"s_bar": float("nan")}, {}, "s_bar", "fails"),
        ({"s_l": 59.9}, {}, "s_l", "s_l 59.90, at least 60.00: fails"),
        ({"unscored": 3, "answers": 100}, {}, "unscored", "unscored 3.00%, at most 2.00%: fails"),
        ({"answers": 0}, {}, "unscored", "unscored is missing (there is no answer), at most 2.00%: fails"),
        ({"degeneration": None}, {}, "repetition", "repetition is missing (the texts were not read), at most 30.00%: fails"),
        ({}, {"max_repetition": 0.05}, "repetition", "repetition 10.00%, at most 5.00%: fails"),
        ({}, {"min_general": {"mmlu": 0.4}, "general": {"mmlu": 0.39}}, "general.mmlu", "general.mmlu 39.00%, at least 40.00%: fails"),
        ({}, {"min_general": {"mmlu": 0.0}}, "general.mmlu", "general.mmlu is missing (not measured; add it to evaluate_general.tasks"),
        ({}, {"min_general": {"mmlu": 0.0}, "general": {"mmlu": None}}, "general.mmlu", "is missing"),
    ],
)
def test_every_axis_fails_alone_and_says_why(changed: dict[str, Any], bounds: dict[str, Any], axis: str, said: str) -> None:
    axes = gate(card(**changed), **bounds)
    assert [name for name, found in axes.items() if not found.passed] == [axis]
    assert said in str(axes[axis])


def test_a_model_at_every_bound_passes_and_unscored_is_a_share_of_answers_not_of_prompts() -> None:
    own = card(items=1, answers=100, unscored=2)
    axes = gate(own, min_s_bar=70.0, min_s_l=80.0, max_repetition=0.1, min_general={"mmlu": 0.4}, general={"mmlu": 0.4})
    assert list(axes) == ["s_bar", "s_l", "unscored", "repetition", "general.mmlu"]
    assert all(axis.passed for axis in axes.values())
    assert str(axes["unscored"]) == "unscored 2.00%, at most 2.00%: holds"


def test_the_mode_says_whose_scores_count_and_one_that_is_missing_fails() -> None:
    own = gate(card(), mode="fixed")
    assert (own["s_l"].value, own["s_bar"].value) == (70.0, 65.0)
    none = gate(card(items(fixed=None)), mode="fixed")
    assert "s_l is missing (nothing is scored in fixed mode; fix: run the stage score again)" in str(none["s_l"])
    assert not none["s_bar"].passed


def test_better_means_that_the_whole_interval_of_the_gain_lies_above_the_bound() -> None:
    sure, unsure = (2.0, 3.0, 2.5, 2.2, 2.8, 2.4, 2.6, 2.1), (14.0, -9.0, 11.0, -8.0, 13.0, -7.0, 10.0, -6.0)
    better = gate(card(), against(items(sure), items()))["gain_over_champion"]
    assert better.passed
    assert better.value == pytest.approx(sum(sure) / 8)
    assert better.interval is not None
    assert 2.0 < better.interval.low < 2.45 < better.interval.high < 3.0
    assert str(better).startswith("gain_over_champion +2.45 [")
    assert str(better).endswith("], above 0.00: holds")
    assert not gate(card(), against(items(sure), items()), min_gain_over_champion=2.45)["gain_over_champion"].passed
    lucky = gate(card(), against(items(unsure), items()))["gain_over_champion"]
    assert lucky.value is not None
    assert lucky.value > 0
    assert not lucky.passed


def test_equal_models_do_not_replace_each_other() -> None:
    decision = decided(card(), against(items(), items()))
    assert [axis.name for axis in decision.axes if not axis.passed] == ["gain_over_champion"]
    assert "gain_over_champion is missing (no interval" in decision.reason
    assert decision.alias == "challenger"


@pytest.mark.parametrize(
    ("gain", "group", "lost"),
    [((9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, -21.0), "[4000,20000]", 6.0), ((-8.0, -4.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0), "[0,500)", 6.0)],
)
def test_a_group_that_loses_too_much_fails_although_the_mean_gains(gain: tuple[float, ...], group: str, lost: float) -> None:
    worst = gate(card(), against(items(gain), items()))["worst_group"]
    assert (worst.value, worst.passed) == (pytest.approx(lost), False)
    assert str(worst) == f"worst_group {lost:.2f} lost in {group}, at most 5.00: fails"
    assert gate(card(), against(items(gain), items()), max_group_loss=6.1)["worst_group"].passed


def test_a_language_is_a_group_too() -> None:
    gain = [-6.0 if one.language == "en" else 20.0 for one in items()]
    worst = gate(card(), against(items(gain), items()))["worst_group"]
    assert str(worst) == "worst_group 6.00 lost in en, at most 5.00: fails"


def test_where_nothing_is_scored_groups_are_held_by_their_length_score_and_the_gain_is_missing() -> None:
    ours, theirs = items(s_l=90.0), items(s_l=80.0)
    ours = [one.model_copy(update={"s_q": None, "s_l": 60.0 if one.asked == 100 else 90.0}) for one in ours]
    axes = gate(card(), against(ours, theirs))
    assert str(axes["gain_over_champion"]) == "gain_over_champion is missing (no prompt is scored on both sides), above 0.00: fails"
    assert str(axes["worst_group"]).startswith("worst_group 5.00 lost in [0,500) (S_l")
    assert axes["worst_group"].passed


def test_one_bin_and_one_language_are_held_as_a_whole() -> None:
    ours, theirs = [[item(asked, s_q=s_q) for asked in (110, 120, 130)] for s_q in (40.0, 60.0)]
    assert "worst_group 10.00 lost in overall" in str(gate(card(), against(ours, theirs))["worst_group"])


def test_a_bin_of_the_champions_that_nobody_answered_is_missing_not_held() -> None:
    whole = items()
    found = against(items()[:6], whole)._replace(unmatched=("[4000,20000]",))
    axes = gate(card(), found)
    assert not axes["worst_group"].passed
    assert "no prompt of [4000,20000] is answered on both sides" in str(axes["worst_group"])
    assert "over 6 of 8 prompts" in str(axes["gain_over_champion"])


def test_without_a_comparison_both_axes_against_the_champion_fail_and_tell_how_to_mend_it() -> None:
    axes = gate(card(), Contest("1", None, "version 1: its evaluation is not known; evaluate it again"))
    assert [str(axes[name]) for name in ("gain_over_champion", "worst_group")] == [
        "gain_over_champion is missing (version 1: its evaluation is not known; evaluate it again), above 0.00: fails",
        "worst_group is missing (version 1: its evaluation is not known; evaluate it again), at most 5.00: fails",
    ]


def test_one_pair_has_no_interval_and_cannot_tell() -> None:
    gain = gate(card(), against([item(100, s_q=90.0)], [item(100)]))["gain_over_champion"]
    assert (gain.value, gain.passed) == (None, False)


def test_who_reigns_stays_and_who_was_rolled_back_stays_out() -> None:
    stays = decided(card(s_bar=10.0), None, is_champion=True)
    assert (stays.alias, stays.passed) == ("champion", False)
    assert "it stays champion until another version takes its place" in stays.reason
    out = decided(card(), None, blocked="2026-01-01 00:00:00Z: loops")
    assert (out.alias, out.passed) == ("challenger", True)
    assert "blocked since 2026-01-01 00:00:00Z: loops (`longwriter models allow 2` lets it in again)" in out.reason


def test_a_decision_survives_its_file() -> None:
    decision = decided(card(), against(items(), items()))
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_without_a_judge_quality_is_no_axis_and_the_decision_says_so() -> None:
    unjudged = [item(asked, s_q=None) for asked in promotions.ASKED]
    better = [item(asked, s_q=None, s_l=90.0) for asked in promotions.ASKED]
    contest = against(better, unjudged)
    axes = {one.name: one for one in weigh(card(better), general={}, contest=contest, promote=UNJUDGED_GATE)}
    assert list(axes) == ["s_l", "repetition", "gain_over_champion", "worst_group"]
    assert axes["gain_over_champion"].value == pytest.approx(10.0)
    assert all(one.passed for one in axes.values())
    runs = {"training_run": "t", "evaluation_run": "e"}
    found = decide(card(better), "2", model="student", is_champion=False, contest=contest, general={}, promote=UNJUDGED_GATE, **runs)
    assert found.alias == "champion"
    assert "there is no judge: S_q is unscored, S̄ does not exist" in found.reason


def test_a_gate_that_asks_for_s_bar_fails_where_nobody_judged() -> None:
    axes = gate(card([item(asked, s_q=None) for asked in promotions.ASKED]))
    assert not axes["s_bar"].passed
    assert not axes["unscored"].passed


def test_unscored_answers_enter_the_interval_of_the_gain() -> None:
    """Every scored prompt gains 3 to 5 points; with two prompts unscored, they may have lost more than that."""
    gained = items((3.0, 4.0, 5.0, 3.0, 4.0, 5.0, 3.0, 4.0))
    unscored = [one.model_copy(update={"s_q": None}) if place < 2 else one for place, one in enumerate(gained)]
    whole, partly = (gate(card(found), against(found, items()), max_unscored=1.0)["gain_over_champion"] for found in (gained, unscored))
    assert whole.passed
    assert not partly.passed
    assert partly.interval
    assert partly.interval.low < 0
