"""The judge's noise and the noise of sampling in a comparison: they are in the interval, and their shares are told."""

import random
from pathlib import Path

import pytest

from tasks import store
from tasks.longbench.compare import Comparison, Side, paired
from tasks.longbench.noise import Noise, remedies
from tasks.longbench.scoring import Files, match, score_all
from tasks.schema.records import BenchmarkItem, Prediction, Rubric, ScoredItem, Verdict


def item(place: int, sample: int, s_l: float, s_q: float, *, error: float | None, verdicts: int = 1) -> ScoredItem:
    return ScoredItem(
        id=f"p{place}",
        model="student",
        sample=sample,
        type="",
        language="en",
        asked=100,
        written=1,
        s_l=s_l,
        s_q=s_q,
        s_q_verdicts=verdicts,
        s_q_error=error,
    )


def model(
    seed: int, *, gain: float = 0.0, prompts: int = 60, samples: int = 1, repeats: int = 2, judge: float = 8.0, sampling: float = 0.0
) -> list[ScoredItem]:
    """Answers to prompts of different difficulty. `judge` and `sampling` are the standard deviations of a verdict and of an answer."""
    difficulty, own = random.Random(0), random.Random(seed)
    found = []
    for place in range(prompts):
        level = 50 + 10 * difficulty.gauss(0, 1)
        for sample in range(samples):
            s_l = level + sampling * own.gauss(0, 1)
            s_q = level + gain + judge * own.gauss(0, 1) / repeats**0.5
            error = judge / repeats**0.5 if repeats > 1 else None
            found.append(item(place, sample, s_l, s_q, error=error, verdicts=repeats))
    return found


def compared(a: list[ScoredItem], b: list[ScoredItem]) -> Comparison:
    return paired(Side("a", a), Side("b", b))


def test_noise_of_the_judge_alone_is_all_of_the_noise() -> None:
    noise = compared(model(1, prompts=200), model(2, prompts=200)).noise
    assert noise is not None
    assert (noise.measure, noise.repeats, noise.samples, noise.answers) == ("s_bar", 2, 1, None)
    assert noise.judge == pytest.approx(1, abs=0.2)


def test_the_judges_share_shrinks_beside_other_noise() -> None:
    noise = compared(model(1, prompts=200, sampling=20.0), model(2, prompts=200, sampling=20.0)).noise
    assert noise is not None
    assert noise.judge == pytest.approx(32 / (32 + 400), abs=0.03)


def test_several_answers_show_the_noise_of_sampling() -> None:
    noise = compared(*(model(seed, prompts=200, samples=4, sampling=20.0, judge=0.1) for seed in (1, 2))).noise
    assert noise is not None
    assert noise.answers == pytest.approx(1, abs=0.2)
    assert noise.samples == 4


def test_one_verdict_tells_nothing_of_the_judge() -> None:
    noise = compared(model(1, repeats=1), model(2, repeats=1)).noise
    assert noise is not None
    assert (noise.judge, noise.repeats) == (None, 1)


def test_the_judges_noise_is_in_the_interval() -> None:
    """Equal models, very noisy judge: the interval misses the true difference 0 in about 5% of comparisons."""
    missed = 0
    for seed in range(60):
        interval = compared(model(2 * seed + 1, prompts=30, judge=25.0), model(2 * seed + 2, prompts=30, judge=25.0)).rows[-1].interval
        assert interval is not None
        missed += not interval.low <= 0 <= interval.high
    assert missed <= 7


def test_more_repeats_narrow_the_interval() -> None:
    widths = []
    for repeats in (1, 16):
        interval = compared(model(1, repeats=repeats, judge=20.0), model(2, repeats=repeats, judge=20.0)).rows[-1].interval
        assert interval is not None
        widths.append(interval.high - interval.low)
    assert widths[1] < 0.4 * widths[0]


def test_what_would_settle_the_comparison_is_said_with_prompts_repeats_and_answers() -> None:
    found = compared(model(1, gain=0.5, prompts=40), model(2, prompts=40))
    (note,) = [note for note in found.notes if "topics are needed" in note]
    assert "repeats of the judge" in note


def test_remedies_count_what_is_missing() -> None:
    noise = Noise(measure="s_bar", judge=0.5, answers=None, repeats=2, samples=1)
    assert remedies(noise, 1.5) == "about 6 repeats of the judge would do as well"  # 0.5 / (1/1.5 - 0.5) = 3 times as many
    assert remedies(noise, 4.0) == "more repeats of the judge do not settle it: they cause 50% of the noise"
    both = noise.model_copy(update={"answers": 0.9, "samples": 5})
    assert remedies(both, 2.0) == (
        "about 12 answers to each prompt would do as well; more repeats of the judge do not settle it: they cause 50% of the noise"
    )
    assert remedies(noise.model_copy(update={"judge": None}), 2.0) is None


def test_the_stage_score_keeps_the_verdicts_and_their_error(tmp_path: Path) -> None:
    asked = BenchmarkItem(id="a", prompt="Write 5 words.", type="", length=5, language="en")
    answer = Prediction(item=asked, model="m", response="one two three four five", finish_reason="stop", tokens=1, seconds=0.1)
    grades = [Rubric(**dict.fromkeys(Rubric.model_fields, grade)) for grade in (3, 5)]
    rubrics = enumerate([*grades, None])
    said = [Verdict(id="a", model="m", repeat=n, rubric=rubric, judge="j", replies=("r",), problem=None) for n, rubric in rubrics]
    store.write(tmp_path / "predictions.jsonl", [answer])
    files = Files(tmp_path / "predictions.jsonl", tmp_path / "verdicts.jsonl")
    (found,) = score_all([answer], match([answer], said, files))
    assert (found.s_q, found.s_q_verdicts, found.s_q_error) == (75.0, 2, pytest.approx(25.0))
