"""The evaluator needs only its own dependencies, no checkout, and no POSIX-only modules."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.flows.recorded_answers import ANSWERS, answer, rows
from tests.tasks.judging.endpoint import GOOD, endpoint

ALONE = Path(__file__).with_name("evaluator_alone.py")


def longwriter(folder: Path, *words: str, system: str = "linux", environment: Mapping[str, str] = os.environ) -> Any:
    """The command in an empty folder."""
    return subprocess.run([sys.executable, str(ALONE), system, *words], cwd=folder, capture_output=True, text=True, env=dict(environment))


# What works without the modules of POSIX systems works with them: this suite runs there.
SYSTEMS = pytest.mark.parametrize("system", ["windows", pytest.param("linux", marks=pytest.mark.slow)])


@pytest.mark.integration
@SYSTEMS
def test_recorded_answers_are_scored_and_compared(tmp_path: Path, system: str) -> None:
    answers = rows(tmp_path / "answers.jsonl", ANSWERS)
    for name in ("one", "other"):
        done = longwriter(tmp_path, "eval", "score", answers, "--out", name, "--json", system=system)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["answers"] == 4
    done = longwriter(tmp_path, "eval", "compare", "one", "other", "--json", system=system)
    assert json.loads(done.stdout)["verdict"] == "cannot tell", done.stderr
    shown = longwriter(tmp_path, "eval", "score", answers, system=system)
    assert "S_l" in shown.stdout


@pytest.mark.integration
@SYSTEMS
def test_a_url_is_evaluated_judged_and_duelled_outside_a_checkout(tmp_path: Path, system: str) -> None:
    benchmark = rows(tmp_path / "benchmark.jsonl", [{"prompt": "Write 70 words on bread.", "type": "News", "length": 70}])
    with endpoint(answer) as seen, endpoint(answer, "candidate"):
        url = os.environ["LONGWRITER_CANDIDATE_URL"]
        for name in ("one", "other"):
            words = ["eval", "run", url, "--model", name, "--benchmark", benchmark, "--out", name, "--json"]
            done = longwriter(tmp_path, *words, system=system)
            assert done.returncode == 0, done.stderr
            card = json.loads(done.stdout.splitlines()[-1])
            assert (card["answers"], card["unscored"], card["s_q"]) == (1, 0, 75.0)
        assert "no params.yaml here" in done.stderr
        assert {body["model"] for body in seen} == {"gpt-4o-2024-05-13"}
        duelled = longwriter(tmp_path, "eval", "duel", "one", "other", "--json", system=system)
        assert duelled.returncode in (0, 1), duelled.stderr
        assert "Traceback" not in duelled.stderr


@pytest.mark.integration
@SYSTEMS
def test_what_prompts_ask_for_and_how_verdicts_are_read(tmp_path: Path, system: str) -> None:
    lengths = longwriter(tmp_path, "data", "lengths", rows(tmp_path / "prompts.jsonl", ANSWERS), "--json", system=system)
    assert [json.loads(line)["target"] for line in lengths.stdout.splitlines()] == [60, 60, 120, 120], lengths.stderr
    verdicts = longwriter(tmp_path, "eval", "verdicts", rows(tmp_path / "replies.jsonl", [{"reply": GOOD}]), "--json", system=system)
    assert json.loads(verdicts.stdout)["relevance"] == 4, verdicts.stderr


@pytest.mark.parametrize(
    "words", [["run"], ["status"], ["stages"], ["flow", "dataset"], ["study"], ["deploy"], ["data", "release", "v1.0.0"]]
)
def test_what_needs_a_checkout_says_so_in_one_line(tmp_path: Path, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    name = " ".join(word for word in words if not word.startswith("v"))
    assert done.stderr == (
        f"error: longwriter {name} works in a checkout of the project, and there is no dvc.yaml in {tmp_path}; "
        "fix: git clone the repository, run `make install` in it, and start .venv/bin/longwriter there\n"
    )


@pytest.mark.integration
@pytest.mark.parametrize(
    ("words", "package"),
    [
        (["eval", "nll", "answers.jsonl", "folder"], "torch"),
        (["data", "check", "rows.jsonl"], "rensa"),
        (["store", "list", "dataset"], "botocore"),
        (["models", "list"], "mlflow"),
    ],
)
def test_what_needs_another_package_says_which_and_how_to_get_it(tmp_path: Path, words: list[str], package: str) -> None:
    rows(tmp_path / "answers.jsonl", ANSWERS)
    rows(tmp_path / "rows.jsonl", ANSWERS)
    done = longwriter(tmp_path, *words, environment=os.environ | {"LONGWRITER_STORE": "s3://bucket/prefix"})
    assert done.returncode == 2, done.stderr
    assert f"needs the package {package}, which is not installed; fix: " in done.stderr
    assert "longwriter-pipeline[pipeline]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_profile_can_be_copied_outside_a_checkout(tmp_path: Path) -> None:
    done = longwriter(tmp_path, "use", "small")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "params.yaml").read_bytes() == (ROOT / "profiles/small.yaml").read_bytes()
