"""The team's real back end for tests: `make team-up` in a folder and on ports of its own, with a small checkout for its workers."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from infra.team import environment
from tests.conftest import ROOT

GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@localhost")


class Team(NamedTuple):
    """A running back end."""

    home: Path  # LONGWRITER_HOME
    checkout: Path
    values: Mapping[str, str]  # team.env

    def environment(self, **more: str) -> dict[str, str]:
        """What a shell has after `. team.env`."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "LONGWRITER_", "MLFLOW_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**clean, **self.values, "PATH": path, "LONGWRITER_HOME": str(self.home), "OMP_NUM_THREADS": "1", **more}

    def run(self, *words: str, folder: Path | None = None, **more: str) -> "subprocess.CompletedProcess[str]":
        """A module with its arguments, such as `flows.deploy`, in the checkout."""
        return subprocess.run(
            [sys.executable, "-m", *words], cwd=folder or self.checkout, env=self.environment(**more), capture_output=True, text=True
        )

    def team(self, word: str) -> "subprocess.CompletedProcess[str]":
        """`make team-…`."""
        return self.run("infra.team", word)

    @property
    def logs(self) -> Path:
        return self.home / "team" / "logs"


@contextmanager
def team(checkout: Path) -> Iterator[Team]:
    """The whole back end, for as long as the block lasts. Its folder is one that PostgreSQL's account can reach."""
    home = Path(tempfile.mkdtemp(prefix="longwriter-", dir="/tmp"))
    home.chmod(0o755)
    started = Team(home, checkout, {})
    try:
        assert (made := started.run("infra.team", "env", "--free-ports")).returncode == 0, made.stderr
        started = started._replace(values=environment.load(home / "team" / "team.env"))
        assert (up := started.team("up")).returncode == 0, up.stderr
        yield started
    finally:
        started.team("down")
        shutil.rmtree(home)


def small_checkout(folder: Path, graph: str, files: Mapping[str, str]) -> Path:
    """A git checkout of this project with another dvc.yaml and other data, committed."""
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in tracked.stdout.splitlines():
        if name.startswith(("flows/", "tasks/", "infra/", "mlflow/", ".dvc", "prefect.yaml", "params.yaml", ".gitignore")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for name, text in {"dvc.yaml": graph, **files}.items():
        (folder / name).write_text(text)
    return committed(folder)


def committed(folder: Path) -> Path:
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    subprocess.run([*GIT, "commit", "--quiet", "--message", "start"], cwd=folder, check=True)
    return folder
