"""Two models on one benchmark are compared by its own measures, paired by item."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tasks import store
from tasks.benchmarks.differences import compare_benchmarks
from tasks.benchmarks.results import AllScores, BenchmarkFigure, BenchmarkScores, ScoredAnswer
from tasks.evaluation.__main__ import app
from tasks.schema.errors import BadInput


def result(
    folder: Path, score: float, *, judge: str = "j", items: int = 12, benchmark: str = "mine", models: tuple[str, ...] = ("m",)
) -> str:
    figure = BenchmarkFigure(value=score, items=items, unscored=1)
    found = BenchmarkScores(
        benchmark=benchmark,
        revision="r",
        judge=judge,
        items=items,
        answered=items,
        answers=items,
        unscored=1,
        unread=0,
        verdicts=items,
        headline="score",
        figures={"score": figure, "length_deviation": figure},
        by_group={},
    )
    store.write_json(folder / "scores.json", AllScores(dict.fromkeys(models, found)))
    rows = []
    for model in models:
        for n in range(items):
            values: dict[str, float | None] = {"score": None if n == 0 else score + n % 3, "length_deviation": 100 - score - n % 2}
            rows.append(ScoredAnswer(id=f"i{n}", model=model, sample=0, group="", values=values))
    store.write(folder / "items.jsonl", rows)
    return str(folder)


def test_the_better_one_is_told_and_what_is_unscored_is_counted(tmp_path: Path) -> None:
    found = compare_benchmarks(result(tmp_path / "a", 8.0), result(tmp_path / "b", 5.0))
    score, deviation = found.rows
    assert (score.measure, score.items, score.unscored, score.difference, score.verdict) == ("score", 11, 1, pytest.approx(3), "better")
    assert score.interval is not None
    assert (deviation.difference, deviation.verdict) == (pytest.approx(-3), "better")  # a smaller deviation is better
    assert (found.verdict, found.notes) == ("better", ())


def test_too_few_items_cannot_tell_and_other_judges_are_said(tmp_path: Path) -> None:
    found = compare_benchmarks(result(tmp_path / "a", 8.0, items=4), result(tmp_path / "b", 5.0, judge="k"))
    assert found.verdict == "cannot tell"
    assert found.notes == ("different judges: j and k; their grades are not comparable", "8 items only in B, not compared")


def test_the_command_compares_and_gates(tmp_path: Path) -> None:
    a, b = result(tmp_path / "a", 5.0, models=("m", "n")), result(tmp_path / "b", 8.0)
    shown = CliRunner().invoke(app, ["compare", f"{a}:n", b, "--gate"])
    assert (shown.exit_code, shown.stdout.splitlines()[-1]) == (1, "A n against B m: worse")
    found = CliRunner().invoke(app, ["compare", b, f"{a}:m", "--json"])
    assert json.loads(found.stdout)["verdict"] == "better"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"benchmark": "theirs"}, "mine against theirs, or another revision of its files"),
        ({"models": ("m", "n")}, "results of 2 models; fix: name one: "),
        (None, "no scores.json in it, which the other side has"),
    ],
)
def test_what_cannot_be_compared_is_one_line(tmp_path: Path, other: dict[str, object] | None, why: str) -> None:
    b = str(tmp_path) if other is None else result(tmp_path / "b", 5.0, **other)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=why):
        compare_benchmarks(result(tmp_path / "a", 8.0), b)
