"""LSD, LVC and MLA over several answers to one prompt: figures, intervals, comparison, and the gate's condition."""

import random
from collections.abc import Sequence
from math import sqrt
from statistics import fmean, pstdev
from typing import Any

import pytest
from typer.testing import CliRunner

from tasks import store
from tasks.evaluation.__main__ import app
from tasks.evaluation.difference import difference
from tasks.longbench.compare import Side, paired
from tasks.longbench.scorecard import flat
from tasks.longbench.steadiness import SteadinessDifference, prompt_lengths, steadiness, steadiness_differences
from tasks.longbench.summary import summarise
from tasks.schema.errors import BadParams
from tasks.schema.params import load
from tasks.schema.records import FixedLength, ScoredItem
from tasks.text.counts import s_l
from tasks.tracking.gate import Axis, weigh
from tests.conftest import ROOT
from tests.tasks import promotions


def answers(id: str, asked: int, words: Sequence[int], *, topic: str = "", model: str = "student") -> list[ScoredItem]:
    return [
        ScoredItem(
            id=id,
            model=model,
            topic=topic,
            sample=sample,
            type="",
            language="en",
            asked=asked,
            written=written,
            s_l=s_l(asked, written),
            s_q=None,
            fixed=FixedLength(written=written, least=asked, most=asked, s_l=s_l(asked, written), without_loops=written // 2),
        )
        for sample, written in enumerate(words)
    ]


def model(spread: float, *, prompts: int = 30, samples: int = 5, seed: int = 1, share: float = 1.0) -> list[ScoredItem]:
    """Answers with lengths that vary by `spread` of the requested length."""
    noise = random.Random(seed)
    return [
        item
        for place in range(prompts)
        for asked in (500 + 100 * place,)
        for item in answers(f"p{place}", asked, [round(asked * share * max(0.0, noise.gauss(1, spread))) for _ in range(samples)])
    ]


def of(rows: Sequence[SteadinessDifference], measure: str) -> SteadinessDifference:
    return next(row for row in rows if row.measure == measure)


def test_the_figures_are_those_of_the_definition() -> None:
    found = steadiness([*answers("a", 1000, (800, 1200, 1000)), *answers("b", 100, (400, 400)), *answers("c", 100, (7,))])
    assert found is not None
    assert (found.prompts, found.answers) == (2, 5)
    assert found.lsd == pytest.approx((pstdev((800, 1200, 1000)) + 0) / 2)
    assert found.lvc == pytest.approx((pstdev((800, 1200, 1000)) / 1000 + 0) / 2)
    assert found.mla == pytest.approx((100 + 0) / 2)


def test_every_figure_lies_in_its_interval_and_more_prompts_narrow_it() -> None:
    few, many = steadiness(model(0.3, prompts=8)), steadiness(model(0.3, prompts=80))
    assert few is not None
    assert many is not None
    for name in ("lsd", "lvc", "mla"):
        widths = []
        for found in (few, many):
            interval = getattr(found, f"{name}_interval")
            assert interval.low <= getattr(found, name) <= interval.high, name
            widths.append(interval.high - interval.low)
        if name != "lsd":  # in words: the 80 prompts are longer
            assert widths[1] < widths[0]


def test_the_interval_of_lvc_covers_the_mean_of_all_prompts_in_most_draws() -> None:
    """The mean LVC of five normal lengths with a deviation of 20% is near 0.2 · 0.84."""
    true = fmean(prompt.lvc or 0.0 for prompt in prompt_lengths(model(0.2, prompts=3000, seed=99)))
    covered = 0
    for seed in range(40):
        found = steadiness(model(0.2, prompts=12, seed=seed))
        assert found is not None
        assert found.lvc_interval is not None
        covered += found.lvc_interval.low <= true <= found.lvc_interval.high
    assert covered >= 36


def test_lvc_is_at_most_the_root_of_the_answers_less_one_and_its_interval_too() -> None:
    items = [item for place in range(6) for item in answers(f"p{place}", 100, (0, 0, 0, 0, 500))]
    found = steadiness(items)
    assert found is not None
    assert found.lvc_interval is not None
    assert found.lvc == pytest.approx(sqrt(4))
    assert found.lvc_interval.high == pytest.approx(sqrt(4))


def test_prompts_of_one_topic_are_one_cluster_and_give_no_interval_alone() -> None:
    found = steadiness([*answers("a", 100, (90, 110), topic="bread"), *answers("b", 200, (150, 250), topic="bread")])
    assert found is not None
    assert (found.prompts, found.lvc_interval, found.mla_interval, found.lsd_interval) == (2, None, None, None)


def test_the_scorecards_metrics_have_the_figures_and_their_intervals() -> None:
    metrics = flat({"student": summarise(model(0.2))})
    assert {"student_lsd", "student_lvc", "student_mla", "student_lvc_low", "student_lvc_high", "student_mla_low"} <= metrics.keys()


def test_the_steadier_of_two_models_is_told_and_equal_ones_are_not() -> None:
    steady, unsteady = model(0.05), model(0.4, seed=2)
    rows = steadiness_differences(steady, unsteady, mode="paper")
    assert [(row.measure, row.verdict) for row in rows] == [("lvc", "better"), ("lsd", "better"), ("mla", "better")]
    other = steadiness_differences(unsteady, steady, mode="paper")
    assert of(other, "lvc").verdict == "worse"
    assert of(other, "lvc").difference == pytest.approx(-of(rows, "lvc").difference)
    assert {row.verdict for row in steadiness_differences(steady, model(0.05, seed=3), mode="paper")} == {"cannot tell"}


def test_the_word_count_is_that_of_the_mode() -> None:
    whole, solid = (of(steadiness_differences(model(0.2), model(0.2, seed=5), mode=mode), "lsd") for mode in ("fixed", "without_loops"))
    assert solid.a == pytest.approx(whole.a / 2, rel=0.01)


def test_sides_with_different_numbers_of_answers_are_compared_over_equally_many() -> None:
    """The deviation of two answers is smaller than that of eight on average: without this, more answers would look less steady."""
    comparison = paired(Side("a", model(0.2, samples=8)), Side("b", model(0.2, samples=2, seed=4)))
    assert of(comparison.steadiness, "lvc").verdict == "cannot tell"
    assert any("more answers on one side" in note for note in comparison.notes)
    own = paired(Side("a", model(0.2, samples=8)), Side("b", model(0.2, samples=2)))
    assert of(own.steadiness, "lvc").prompts == 30


def test_one_answer_to_each_prompt_compares_without_steadiness() -> None:
    assert paired(Side("a", model(0.2, samples=1)), Side("b", model(0.2, samples=1, seed=2))).steadiness == ()


def test_the_command_prints_the_table_and_writes_it_as_json(tmp_path: Any) -> None:
    for name, items in (("a", model(0.05)), ("b", model(0.4, seed=2))):
        store.write(tmp_path / name / "items.jsonl", items)
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b")]
    shown = CliRunner().invoke(app, words).stdout
    assert "steadiness of the lengths, A minus B" in shown
    assert '"measure":"lvc"' in CliRunner().invoke(app, [*words, "--json"]).stdout


def test_the_pull_request_comment_names_the_variation() -> None:
    side, before = Side("a", model(0.05)), Side("b", model(0.4, seed=2))
    assert "vary by" in difference(summarise(side.answers), None, {"paper": paired(side, before)})
    assert "vary by" not in difference(summarise(model(0.1, samples=1)), None, {})


def axis(items: Sequence[ScoredItem], bound: float | None) -> list[Axis]:
    promote = promotions.GATE.model_copy(update={"max_length_variation": bound})
    return [one for one in weigh(summarise(items), general={}, contest=None, promote=promote) if one.name == "length_variation"]


def test_the_gate_bounds_the_variation_only_if_a_bound_is_set() -> None:
    assert axis(model(0.4), None) == []
    (passed,), (failed,) = axis(model(0.05), 0.2), axis(model(0.4), 0.2)
    assert (passed.passed, failed.passed) == (True, False)
    assert str(failed).startswith("length_variation ")
    assert "over 30 prompts, 95% interval" in str(failed)
    assert str(failed).endswith("at most 20.00%: fails")


def test_the_gate_fails_without_several_answers_and_says_what_to_do() -> None:
    (found,) = axis(model(0.1, samples=1), 0.2)
    assert not found.passed
    assert "no prompt has several answers; set predict.samples to 2 or more" in str(found)


def test_a_bound_with_one_answer_to_each_prompt_is_refused_before_a_run_in_one_line_that_names_both_keys(tmp_path: Any) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    changed = tmp_path / "params.yaml"
    changed.write_text(text.replace("max_length_variation: null", "max_length_variation: 0.2"))
    with pytest.raises(BadParams, match=r"promote\.max_length_variation is 0\.2, and predict\.samples is 1") as refused:
        load(changed)
    assert "\n" not in str(refused.value)
    changed.write_text(changed.read_text().replace("  samples: 1\n", "  samples: 2\n"))
    assert load(changed).promote.max_length_variation == 0.2
