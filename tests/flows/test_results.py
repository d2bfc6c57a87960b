"""A run's closing lines name the tracked files that it changed, and the one command that commits them."""

import subprocess
from pathlib import Path

import pytest

from flows import results


def git(*words: str) -> str:
    own = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    return subprocess.run(["git", *own, *words], capture_output=True, text=True, check=True).stdout


@pytest.mark.usefixtures("done")
def test_a_run_says_which_tracked_files_it_changed_and_how_to_commit_them() -> None:
    lock, params = Path("dvc.lock"), Path("toy.yaml")
    git("add", "dvc.lock", "dvc.yaml", "toy.yaml")
    git("commit", "-qm", "start")
    assert results.summary() == [], "nothing is changed"
    lock.write_text(lock.read_text() + "\n")
    params.write_text("words: 2\n")
    lines = results.summary()
    assert lines[-2].split() == ["git", "this", "run", "changed", "dvc.lock;", "keep", "them", "by:"]
    assert lines[-1].strip() == "git commit -m 'Record a run' -- dvc.lock"
    git("commit", "-m", "Record a run", "--", "dvc.lock")
    assert " M toy.yaml" in git("status", "--porcelain").splitlines(), "a user's own change is not committed with it"
    assert results.summary() == []
