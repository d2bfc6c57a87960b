"""The figures that git keeps of the last full rehearsal still show what the project claims: a regression is committed with open eyes."""

import csv
import json

from tasks.longbench.length import s_l
from tasks.schema.params import load
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
