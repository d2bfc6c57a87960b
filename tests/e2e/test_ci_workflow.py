"""The workflow `evaluation` with the commands of its YAML, on a registry with a better and a worse champion, and with a floor."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks import store
from tasks.longbench.scorecard import Scorecards, read_scorecards
from tasks.longbench.summary import summarise
from tasks.schema.records import ScoredItem
from tasks.schema.settings import settings
from tasks.schema.standins import MARK
from tasks.tracking import registry, rollback, runs
from tasks.tracking.checkpoint import digest
from tasks.tracking.client import connect, names
from tasks.tracking.recording import record_evaluation
from tests.conftest import ROOT
from tests.tasks.evaluation.evaluations import candidate as endpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

JOBS: dict[str, Any] = YAML(typ="safe").load((ROOT / ".github/workflows/evaluation.yaml").read_text(encoding="utf-8"))["jobs"]
INSTALLED = ("make install", ".venv/bin/python -m infra.serve_env")  # this test's environment is installed, and the rehearsal serves
SECRETS = {"LONGWRITER_TRACKING_URI", "LONGWRITER_JUDGE_URL", "LONGWRITER_JUDGE_API_KEY", "MLFLOW_TRACKING_USERNAME"}
SECRETS |= {"MLFLOW_TRACKING_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "LONGWRITER_SERVER", "LONGWRITER_STARTUP_TIMEOUT"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone with `.venv/bin/longwriter`, the command of the workflow, on the clone's own code."""
    folder = tmp_path / "checkout"
    subprocess.run(["git", "clone", "-q", "--depth", "2", f"file://{ROOT}", str(folder)], check=True)
    for name in subprocess.run(["git", "diff", "--name-only", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.split():
        if (ROOT / name).is_file():
            (folder / name).write_bytes((ROOT / name).read_bytes())
    script = folder / ".venv/bin/longwriter"
    script.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" -m flows.cli "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.fixture
def candidate_url() -> Iterator[str]:
    """What serves every candidate here: the rehearsal."""
    with endpoint() as url:
        yield url


def job(name: str, folder: Path, given: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """The job's own commands, in order, up to the first that fails. `given` are the values of its expressions, as GitHub gives them."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for step in JOBS[name]["steps"]:
        command = step.get("run", "")
        if not command or command.startswith(INSTALLED) or step.get("if") == "inputs.profile != 'rehearsal'":
            continue
        written = {**JOBS[name].get("env", {}), **step.get("env", {})}
        assert {key for key, value in written.items() if "${{" in str(value)} <= set(given) | SECRETS, "an expression without a value"
        env = os.environ | {"PATH": path} | given
        ended = subprocess.run(["bash", "-e", "-c", command], cwd=folder, env=env, capture_output=True, text=True)
        if ended.returncode:
            break
    return ended


def version(folder: Path, weights: bytes, alias: str) -> registry.Version:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text(f'{{"{MARK}": true}}')  # the rehearsal's own student, which its judge may grade
    found = registry.register(folder, run_id=runs.record("train", digest(folder)), tags={})
    connect().set_registered_model_alias(names().model, alias, found.number)
    return found


def evaluated(folder: Path, champion: registry.Version, items: list[ScoredItem], judge: str | None, *, better_by: float) -> None:
    """The champion's evaluation: the candidate's own items with other points."""
    moved = [
        item.model_copy(update={"model": "student", "s_l": _bounded(item.s_l + better_by), "s_q": _bounded((item.s_q or 0) + better_by)})
        for item in items
    ]
    folder.mkdir()
    card = summarise(moved, judge=judge)
    store.write(folder / "items.jsonl", moved)
    store.write_json(folder / "scorecard.json", Scorecards({"student": card}))
    run_id = record_evaluation(
        folder / "scorecard.json",
        folder / "items.jsonl",
        {"student": card},
        checkpoint_digest="0" * 64,
        model="student",
        texts=folder / "predictions.jsonl",
    )
    rollback.tag(champion.number, {"evaluation_run": run_id})


def _bounded(score: float) -> float:
    return min(100.0, max(0.0, score))


def test_a_candidate_of_the_registry_is_held_against_a_worse_and_a_better_champion_and_a_floor(
    checkout: Path, tmp_path: Path, mlflow_home: Path, candidate_url: str
) -> None:
    version(tmp_path / "a", b"challenger", "challenger")
    given = {
        "CANDIDATE": "models:/longwriter@challenger",
        "PROFILE": "rehearsal",
        "BENCHMARK": "",
        "LONGWRITER_CANDIDATE_URL": candidate_url,
        "LONGWRITER_HOME": str(settings().home.resolve()),
    }
    first = job("candidate", checkout, given)
    assert first.returncode == 0, first.stderr
    comment = checkout / "ci-eval/comment.md"
    assert "**The gate holds.**" in comment.read_text()
    items = list(store.read(checkout / "ci-eval/items.jsonl", ScoredItem))
    (judge,) = {card.judge for card in read_scorecards(checkout / "ci-eval/scorecard.json").values()}

    champion = version(tmp_path / "b", b"champion", "champion")
    evaluated(tmp_path / "worse", champion, items, judge, better_by=-15)
    better = job("candidate", checkout, given)
    assert better.returncode == 0, better.stderr
    assert "Against `version 2`" in comment.read_text()

    evaluated(tmp_path / "better", champion, items, judge, better_by=15)
    worse = job("candidate", checkout, given)
    assert worse.returncode == 1
    assert "gain_over_champion" in worse.stderr
    assert "**The gate fails**" in comment.read_text()

    evaluated(tmp_path / "again", champion, items, judge, better_by=-15.5)
    profile = checkout / "profiles/rehearsal.yaml"
    floor = profile.read_text().replace("min_general: {}", "min_general: {facts: 0.9}")
    profile.write_text(floor.replace("  tasks: []", "  tasks: [profiles/general/facts.yaml]"))
    floored = job("candidate", checkout, given)
    assert floored.returncode == 1
    (line,) = [line for line in floored.stderr.splitlines() if line.startswith("error: ")]
    assert "general.facts" in line
    assert "is missing" not in line, "the floor made the harness run"
    assert (checkout / "ci-eval/general.json").is_file()


def test_a_checkout_is_evaluated_and_a_floor_makes_the_stage_of_general_ability_run(checkout: Path, tmp_path: Path) -> None:
    """On a graph of the same stage names that take moments: what is tested is which of them the workflow runs."""
    (checkout / "mark.py").write_text(
        "import sys\nopen('ran', 'a').write(sys.argv[1] + chr(10))\nopen(sys.argv[1] + '.txt', 'w').close()\n"
    )
    stages = "".join(
        f"  {name}: {{cmd: exec python mark.py {name}, outs: [{name}.txt]}}\n" for name in ("score", "evaluate_general", "promote")
    )
    (checkout / "dvc.yaml").write_text(f"stages:\n{stages}")
    (checkout / "dvc.lock").unlink()
    for floors, ran in (("{}", ["score"]), ("{mmlu: 0.5}", ["evaluate_general"])):  # the first stage is up to date then
        params = checkout / "params.yaml"
        params.write_text(params.read_text().replace("min_general: {}", f"min_general: {floors}"))
        ended = job("rehearsal", checkout, {"OUT": "ci-eval", "BASELINE": "", "BASE": ""})
        assert (checkout / "ran").read_text().split() == ran, ended.stderr
        (checkout / "ran").unlink()
