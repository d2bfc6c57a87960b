"""`python -m tasks.evaluation.ci`, as `longwriter eval ci` calls it, on score folders made by the tests."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks import store
from tasks.evaluation import ci
from tasks.evaluation.difference import MARKER
from tasks.longbench.summary import summarise
from tasks.schema.errors import BadInput
from tasks.schema.params import Promote, load
from tasks.schema.records import Abilities, ScoredItem
from tests.commands import called
from tests.conftest import ROOT
from tests.tasks.evaluation.evaluations import candidate as endpoint
from tests.tasks.evaluation.evaluations import items
from tests.tasks.promotions import candidate as trained
from tests.tasks.promotions import run as promote

SUBMITTED = {"GITHUB_STEP_SUMMARY", "CANDIDATE", "MODEL", "BENCHMARK", "SCORES", "BASELINE", "BASE", "OUT"}


def scored(folder: Path, found: list[ScoredItem]) -> Path:
    """What the stage score leaves behind, for a student and a control."""
    control = [item.model_copy(update={"model": "control", "s_l": 1.0}) for item in found]
    store.write(folder / "items.jsonl", [*control, *found])
    cards = {"control": summarise(control), "student": summarise(found, judge="j")}
    store.write_json(folder / "scorecard.json", {model: card.model_dump(mode="json") for model, card in cards.items()})
    return folder


def ci_eval(out: Path, *arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return called(ci.app, ("--out", out, *arguments), dict.fromkeys(SUBMITTED) | environment)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "ci-eval"


def test_a_gate_that_holds_is_exit_0_with_a_comment_and_a_baseline_for_the_next_run(tmp_path: Path, out: Path) -> None:
    ended = ci_eval(out, "--scores", scored(tmp_path / "score", items(0.9)))
    assert (ended.returncode, ended.stderr) == (0, "")
    comment = (out / "comment.md").read_text()
    assert comment.startswith(f"{MARKER}\n")
    assert "**The gate holds.**" in comment
    assert "No baseline: the scores stand alone." in comment
    again = ci_eval(tmp_path / "again", SCORES=str(tmp_path / "score"), BASELINE=str(out))
    assert again.returncode == 0
    assert "paper mode: ○ **cannot tell**, S̄ +0.00 points" in (tmp_path / "again/comment.md").read_text()


def test_a_failing_axis_is_exit_1_named_on_standard_error_and_in_the_comment(tmp_path: Path, out: Path) -> None:
    ended = ci_eval(out, "--scores", scored(tmp_path / "score", items(0.9, s_q=2.0)))
    card = summarise(items(0.9, s_q=2.0))
    assert ended.returncode == 1
    assert ended.stderr == f"error: gate: s_bar {card.s_bar:.2f}, at least 50.00: fails\n"
    assert "**The gate fails**: s_bar." in (out / "comment.md").read_text()


def test_every_failing_axis_is_named(tmp_path: Path, out: Path) -> None:
    ended = ci_eval(out, "--scores", scored(tmp_path / "score", items(0.3, s_q=None)))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "s_bar is missing" in line
    assert "; s_l 0.00, at least 60.00: fails; unscored 100.00%, at most 2.00%: fails" in line


def test_worse_than_the_baseline_fails_where_items_prove_it(tmp_path: Path, out: Path) -> None:
    now, before = scored(tmp_path / "now", items(0.8)), scored(tmp_path / "before", items(0.95))
    ended = ci_eval(out, "--scores", now, "--baseline", before)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: gate: baseline S̄ -")
    assert ended.stderr.endswith("not worse (worse): fails\n")
    figures = ci_eval(out, "--scores", now, "--baseline", before / "scorecard.json")
    assert figures.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--baseline", "no/such"), "no/such: BASELINE: no such file or folder; fix: give the folder of an evaluation (items.jsonl in it)"),
        (("--base", "no-such-branch"), "no-such-branch: BASE: no such revision here; fix: fetch it: git fetch origin BRANCH"),
        (("--scores", "no/scores"), "no/scores: no such file; fix: check the path"),
    ],
)
def test_bad_input_is_one_line_exit_2_and_a_comment_that_says_so(out: Path, arguments: tuple[str, str], line: str) -> None:
    ended = ci_eval(out, *arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: {line}")
    assert len(ended.stderr.splitlines()) == 1
    comment = (out / "comment.md").read_text()
    assert comment.startswith(MARKER)
    assert f"No scores: `{line}" in comment


def test_the_figures_that_git_keeps_are_the_baseline_where_no_other_is_given(tmp_path: Path, out: Path) -> None:
    ended = ci_eval(out, "--scores", scored(tmp_path / "score", items(0.9)), "--base", "HEAD")
    assert ended.returncode == 0
    assert "Against `metrics/scores.json of HEAD`, figures without items" in (out / "comment.md").read_text()


def test_a_base_whose_items_are_of_another_format_or_benchmark_fails_no_change(tmp_path: Path, out: Path) -> None:
    now = scored(tmp_path / "score", items(0.9))
    (tmp_path / "old").mkdir()
    (tmp_path / "old/items.jsonl").write_text('{"id": "i1", "points": 3}\n')
    others = scored(tmp_path / "others", [item.model_copy(update={"id": f"other {item.id}"}) for item in items(0.9)])
    for baseline, told in ((tmp_path / "old", "HEAD instead"), (others, "only its figures are compared")):
        ended = ci_eval(out, "--scores", now, "--baseline", baseline, "--base", "HEAD")
        assert (ended.returncode, told in ended.stderr) == (0, True)
        assert "figures without items" in (out / "comment.md").read_text()
        assert ci_eval(out, "--scores", now, "--baseline", baseline).returncode == 2


def test_the_comment_is_appended_to_the_summary_of_the_run(tmp_path: Path, out: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    ci_eval(out, "--scores", scored(tmp_path / "score", items(0.9)), GITHUB_STEP_SUMMARY=str(summary))
    assert summary.read_text() == "before\n" + (out / "comment.md").read_text()


def test_a_url_is_evaluated_and_gated(tmp_path: Path, out: Path) -> None:
    benchmark = tmp_path / "benchmark.jsonl"
    rows = [{"prompt": f"Write a {length}-word essay about tea.", "type": "News", "length": length} for length in (100, 200, 400)]
    benchmark.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with endpoint() as url:
        ended = ci_eval(out, CANDIDATE=url, BENCHMARK=str(benchmark), MODEL="rehearsal-candidate")
    comment = (out / "comment.md").read_text()
    assert f"### Evaluation of `{url}`" in comment
    assert "| overall | 3 |" in comment
    assert ended.returncode in (0, 1), ended.stderr
    assert "Traceback" not in ended.stderr
    assert len((out / "items.jsonl").read_text().splitlines()) == 3


@pytest.mark.integration
@pytest.mark.usefixtures("mlflow_home")
def test_an_alias_that_is_none_is_bad_input(out: Path) -> None:
    ended = ci_eval(out, CANDIDATE="models:/longwriter@nobody")
    assert ended.returncode == 2
    assert "error: models:/longwriter@nobody: " in ended.stderr


@pytest.fixture
def registered(tmp_path: Path, mlflow_home: Path) -> Path:
    """Two versions: the champion, and a challenger with less. The folder of the challenger's scores."""
    promote(trained(tmp_path / "a", weights=b"1", s_bar=70.0))
    promote(trained(tmp_path / "b", weights=b"2", s_bar=60.0))
    return tmp_path / "b" / "score"


def gated(scores: Path, out: Path, candidate: str, **bounds: Any) -> list[str]:
    params = load(ROOT / "params.yaml")
    gate: Promote = params.promote.model_copy(update=bounds)
    options = ci.CiOptions(candidate, None, None, scores, "", "", out)
    return ci.run(options, params.model_copy(update={"promote": gate}))


@pytest.mark.integration
def test_a_registered_candidate_is_held_against_the_champion(registered: Path, out: Path) -> None:
    failing = gated(registered, out, "models:/longwriter@challenger")
    assert [text.split()[0] for text in failing] == ["gain_over_champion", "worst_group"]
    comment = (out / "comment.md").read_text()
    assert "Against `version 1`, prompt by prompt:" in comment
    assert "gain_over_champion -10.00" in comment


@pytest.mark.integration
def test_the_champion_itself_and_what_is_not_registered_meet_the_absolute_axes_alone(registered: Path, out: Path) -> None:
    assert gated(registered, out, "models:/longwriter@champion") == []
    assert gated(registered, out, "http://127.0.0.1:1/v1") == []
    assert "gain_over_champion" not in (out / "comment.md").read_text()


@pytest.mark.integration
def test_general_ability_is_what_the_version_has_on_record(registered: Path, out: Path) -> None:
    (failing,) = gated(registered, out, "models:/longwriter/1", min_general={"mmlu": 0.9})
    assert failing == "general.mmlu 61.00%, at least 90.00%: fails"


@pytest.mark.integration
def test_a_floor_that_nobody_measured_is_measured_and_no_other_task(
    registered: Path, out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, list[str]]] = []

    async def abilities(candidate: str, wanted: list[str], params: object) -> dict[str, float | None]:
        asked.append((candidate, wanted))
        return dict.fromkeys(wanted, 0.8)

    monkeypatch.setattr(ci, "_abilities", abilities)
    monkeypatch.setattr(ci, "_evaluated", lambda options, params: registered)
    params = load(ROOT / "params.yaml")
    floors = params.promote.model_copy(update={"min_general": {"mmlu": 0.5, "facts": 0.7}})
    options = ci.CiOptions("models:/longwriter/1", None, None, None, "", "", out)
    assert ci.run(options, params.model_copy(update={"promote": floors})) == []
    assert asked == [("models:/longwriter/1", ["facts"])], "the version has a score of mmlu"
    assert store.read_document(out / "general.json", Abilities).root == {"models:/longwriter/1": {"facts": 0.8}}
    assert "general.facts 80.00%" in (out / "comment.md").read_text()
    (failing,) = ci.run(options._replace(candidate="http://127.0.0.1:1/v1"), params.model_copy(update={"promote": floors}))[:1]
    assert failing.startswith("general.mmlu is missing"), "a URL has no checkpoint to measure"
    assert len(asked) == 1


@pytest.mark.integration
def test_general_ability_of_scores_is_what_the_stage_measured_of_that_model(registered: Path, out: Path) -> None:
    measured: dict[str, dict[str, float | None]] = {"student": {"mmlu": 0.61, "facts": None}, "aligned": {"mmlu": 0.2}}
    store.write_json(registered.parent / "evaluate_general/general.json", Abilities(measured))
    assert gated(registered, out, "", min_general={"mmlu": 0.6}) == []
    low, missing = gated(registered, out, "", min_general={"mmlu": 0.7, "facts": 0.1})
    assert low == "general.mmlu 61.00%, at least 70.00%: fails"
    assert missing.startswith("general.facts is missing")
    (registered.parent / "evaluate_general/general.json").write_text('{"mmlu": 0.61}')
    with pytest.raises(BadInput, match=r"general\.json: mmlu: Input should be an object, got 0\.61"):
        gated(registered, out, "", min_general={"mmlu": 0.6})


def test_a_rehearsal_that_fails_ends_with_its_exit_code_and_a_comment_without_scores(tmp_path: Path, out: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())  # and nothing that DVC could run
    env = {name: value for name, value in os.environ.items() if name not in SUBMITTED} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tasks.evaluation.ci", "--out", str(out)]
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "there is no dvc.yaml in" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("error: the rehearsal's evaluation did not finish")
    assert "No scores: `the rehearsal's evaluation" in (out / "comment.md").read_text()


def test_importing_it_loads_no_framework() -> None:
    code = "import sys, tasks.evaluation.ci; print([name for name in ('mlflow', 'prefect', 'torch', 'dvc') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip() == "[]"
