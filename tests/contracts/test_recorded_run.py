"""The recorded figures of the last full rehearsal still support the project's claims, so that a regression is not committed unnoticed."""

import csv
import json
from itertools import pairwise
from statistics import mean, variance

import pytest

from tasks import store
from tasks.schema.params import load
from tasks.schema.study_results import Limit
from tasks.text.counts import s_l
from tests.conftest import ROOT


def test_the_recorded_student_follows_asked_lengths() -> None:
    scores = json.loads((ROOT / "metrics/scores.json").read_text())
    assert scores["student"]["s_l"] >= 60
    assert scores["student"]["unscored"] == 0


def test_above_its_cap_the_recorded_control_is_thirty_points_behind() -> None:
    with (ROOT / "plots/ruler.csv").open(newline="") as file:
        rows = [(row["model"], int(row["asked"]), int(row["written"])) for row in csv.DictReader(file)]
    cap = load(ROOT / "params.yaml").pack.control_cap * max(asked for _, asked, _ in rows)
    means = {}
    for model in ("student", "control"):
        points = [s_l(asked, written) for name, asked, written in rows if name == model and asked > cap]
        means[model] = sum(points) / len(points)
    assert means["student"] - means["control"] >= 30


def test_the_recorded_aligned_student_is_not_below_the_student() -> None:
    """Not by more than chance: both means are over one draw of answers, and `transformers serve` takes no seed."""
    with (ROOT / "plots/ruler.csv").open(newline="") as file:
        rows = [(row["model"], s_l(int(row["asked"]), int(row["written"]))) for row in csv.DictReader(file)]
    points = {model: [score for name, score in rows if name == model] for model in ("student", "aligned")}
    if not points["aligned"]:
        pytest.skip("the recorded run was made before there was an aligned student, or without one; `longwriter run` records another")
    chance = sum(variance(scores) / len(scores) for scores in points.values()) ** 0.5
    assert mean(points["aligned"]) - mean(points["student"]) >= -chance


def test_in_the_recorded_study_the_ceiling_rises_with_the_cap() -> None:
    path = ROOT / "plots/study.json"
    if not path.is_file():
        pytest.skip("no study is recorded; `longwriter study` records one")
    found = store.read_document(path, Limit)
    assert len(found.arms) >= 3
    assert found.rising
    assert all(one.longest <= 2 * one.cap for one in found.arms), "an arm's longest answer stays near its cap"
    assert found.longest
    assert found.longest.slope > 0
    assert all(0.8 * one.cap <= one.ceiling <= 1.5 * one.cap for one in found.arms), "19 of 20 answers stay near the cap or below"
    assert all(lower.mean < higher.mean for lower, higher in pairwise(found.arms))
    assert found.ceiling
    assert found.ceiling.slope_interval
    assert found.ceiling.slope_interval[0] > 0.5
