"""Rules for .github/workflows: actionlint passes, external values never reach a shell, targets exist, and permissions are minimal."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.cli import TREE, Leaf
from tasks.evaluation.difference import MARKER
from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def jobs(workflow: Path) -> dict[str, dict[str, Any]]:
    tree: dict[str, Any] = YAML(typ="safe").load(workflow.read_text(encoding="utf-8"))
    return dict(tree["jobs"])


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for workflow in WORKFLOWS:
        for name, job in jobs(workflow).items():
            for place, step in enumerate(job["steps"], 1):
                yield f"{workflow.name}: {name}, step {place}", step


def actionlint(*files: Path) -> "subprocess.CompletedProcess[str]":
    """The linter from the dev group, or one on the path; its findings."""
    beside = str(Path(sys.executable).parent)
    program = shutil.which("actionlint", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    assert program, "actionlint is not installed; it is in requirements/pipeline.txt: make install"
    return subprocess.run([program, "-no-color", *map(str, files)], cwd=ROOT, capture_output=True, text=True)


def test_actionlint_finds_nothing() -> None:
    assert WORKFLOWS
    found = actionlint(*WORKFLOWS)
    assert (found.stdout + found.stderr, found.returncode) == ("", 0)


def test_actionlint_would_find_something(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ nothing.here }}\n")
    assert actionlint(broken).returncode == 1


@pytest.mark.parametrize(("where", "step"), list(steps()))
def test_no_expression_is_put_into_a_command(where: str, step: dict[str, Any]) -> None:
    assert "${{" not in step.get("run", ""), f"{where}: hand it over by env"


@pytest.mark.parametrize(("where", "step"), list(steps()))
def test_actions_are_pinned_to_commits(where: str, step: dict[str, Any]) -> None:
    assert "run" in step or re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", step["uses"]), where


def test_the_make_targets_of_workflows_exist() -> None:
    called = {target for _, step in steps() for line in re.findall(r"^make ([^\n]*)", step.get("run", ""), re.M) for target in line.split()}
    assert "install" in called
    assert called <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))


def test_the_commands_of_workflows_exist() -> None:
    called = [line.split() for _, step in steps() for line in re.findall(r"^\.venv/bin/longwriter ([^\n]*)", step.get("run", ""), re.M)]
    assert ["eval", "ci"] in called
    for words in called:
        entry = TREE[words[0]]
        assert isinstance(entry, Leaf) or words[1] in entry.commands, words


def test_a_choice_of_profiles_is_the_profiles_that_there_are() -> None:
    tree = YAML(typ="safe").load((ROOT / ".github/workflows/evaluation.yaml").read_text(encoding="utf-8"))
    inputs = tree["on"]["workflow_dispatch"]["inputs"]
    assert sorted(inputs["profile"]["options"]) == sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))
    assert inputs["candidate"]["default"] == "models:/longwriter@challenger"


def test_the_comment_is_found_again_by_the_mark_that_it_is_written_with() -> None:
    assert commenting()["env"]["MARKER"] == MARKER


@pytest.mark.parametrize(("known", "call"), [("", "POST repos/o/r/issues/7/comments"), ("41 42", "PATCH repos/o/r/issues/comments/42")])
def test_a_second_push_updates_the_comment_of_the_first(tmp_path: Path, known: str, call: str) -> None:
    gh = tmp_path / "gh"
    gh.write_text(f'#!/bin/sh\ncase "$*" in *--paginate*) printf "%s\\n" {known};; *) echo "$*" >> calls;; esac\n')
    gh.chmod(0o755)
    env = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "ISSUE": "repos/o/r/issues", "NUMBER": "7", "MARKER": MARKER}
    subprocess.run(["bash", "-e", "-c", commenting()["run"]], cwd=tmp_path, env=env, check=True)
    assert (tmp_path / "calls").read_text() == f"api --silent --method {call} --field body=@ci-eval/comment.md\n"


def commenting() -> dict[str, Any]:
    (step,) = (step for step in jobs(ROOT / ".github/workflows/evaluation.yaml")["comment"]["steps"] if "run" in step)
    return dict(step)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_job_ends_in_time_and_only_what_runs_no_code_of_others_may_write(workflow: Path) -> None:
    tree = YAML(typ="safe").load(workflow.read_text(encoding="utf-8"))
    assert tree["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in tree["on"]
    for name, job in jobs(workflow).items():
        assert job["timeout-minutes"] > 0, name
        writes = "write" in job.get("permissions", {}).values()
        used = " ".join(str(step.get("uses", "")) + str(step.get("run", "")) for step in job["steps"])
        assert not (writes and ("actions/checkout" in used or "make " in used)), name


def test_a_pull_request_sees_no_secret() -> None:
    for name, job in jobs(ROOT / ".github/workflows/evaluation.yaml").items():
        if "pull_request" in job["if"] or "push" in job["if"]:
            assert "secrets." not in str(job), name


@pytest.mark.parametrize("hostile", ['"; touch pwned; "', "$(shell touch pwned)", "`touch pwned`", "$$(touch pwned)", "x' ; touch pwned '"])
def test_values_reach_the_evaluation_as_they_are(tmp_path: Path, hostile: str) -> None:
    env = os.environ | {"BASELINE": hostile, "OUT": str(tmp_path / "out"), "GITHUB_STEP_SUMMARY": ""}
    ended = subprocess.run([sys.executable, "-m", "flows.cli", "eval", "ci"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert not (ROOT / "pwned").exists()
    assert ended.stderr.startswith(f"error: {hostile}: BASELINE: no such file or folder")


def test_make_gives_no_value_of_a_user_to_a_shell() -> None:
    """Options belong to the command `longwriter`, which no shell parses again; make has switches for developers alone."""
    recipes = "\n".join(line for line in MAKEFILE.splitlines() if line.startswith("\t"))
    own = {"VENV", "PYTHON", "CURDIR", "BENCHES", "MAKEFILE_LIST"}
    assert set(re.findall(r"\$\((\w+)\)", recipes)) - own <= {"UPGRADE"}


def test_make_has_few_targets_for_developers_alone() -> None:
    targets = re.findall(r"^([a-z-]+):", MAKEFILE, re.M)
    assert len(targets) <= 14
    assert {"install", "run", "test", "test-slow", "lint", "format", "bench", "bench-gpu", "lock", "docs", "audit", "clean"} < {*targets}
