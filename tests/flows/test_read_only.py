"""A checkout on a read-only file system: every command that must write says so in one line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

MOUNT = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && cd "$1" && shift && exec "$@"'
ANSWER = '{"prompt": "Write 40 words on bread.", "response": "Bread is flour, water and time.", "length": 40}\n'
COMMANDS = (
    "run",
    "repro",
    "status",
    "report",
    "use small",
    "flow dataset",
    "eval score {answers} --out scored",
    "data check {answers}",
    "models list",
)


def unshared(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`, mounted read-only in a namespace of its own."""
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", str(folder), *words]
    own = {name: value for name, value in os.environ.items() if name != "LONGWRITER_HOME"}  # the home is in the checkout
    return subprocess.run(command, capture_output=True, text=True, env=own | environment)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    if not shutil.which("unshare") or (probe := unshared("true", folder=folder)).returncode:
        why = "there is no unshare" if not shutil.which("unshare") else probe.stderr.strip()
        pytest.skip(f"a file system cannot be mounted read-only here: {why}")
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, tracked.stdout.splitlines()):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


@pytest.mark.integration
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_must_write_says_in_one_line_that_it_cannot(command: str, checkout: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text(ANSWER)
    words = command.format(answers=answers).split()
    done = unshared(sys.executable, "-m", "flows.cli", *words, folder=checkout, PYTHONPATH=str(checkout))
    *_, said = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert said.startswith("error: ")
    assert "the file system is read-only; fix: work in a folder that can be written" in said
    assert "Traceback" not in done.stderr


def test_a_command_that_writes_nothing_works(checkout: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text(ANSWER)
    done = unshared(sys.executable, "-m", "flows.cli", "eval", "score", str(answers), "--json", folder=checkout, PYTHONPATH=str(checkout))
    assert done.returncode == 0, done.stderr


def test_doctor_names_the_workspace_that_cannot_be_written(checkout: Path) -> None:
    done = unshared(sys.executable, "-m", "flows.cli", "doctor", folder=checkout, PYTHONPATH=str(checkout))
    assert done.returncode == 1, done.stderr
    assert f"{checkout}: the folder, or its file system, cannot be written" in done.stdout + done.stderr
