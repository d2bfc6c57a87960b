"""The team's real back end for tests: `longwriter team up` in its own folder and ports, with a small checkout for its workers."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from infra.team import environment, workspaces
from infra.team.services import ALIVE
from tasks.processes import family
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


def api(team: Team, path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(f"{team.values['PREFECT_API_URL']}{path}", None if body is None else json.dumps(body).encode())
    request.add_header("Authorization", f"Basic {base64.b64encode(team.values['PREFECT_API_AUTH_STRING'].encode()).decode()}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def started(team: Team, deployment: str, *, wait: float = 0, **parameters: Any) -> str:
    """The id of a new run, scheduled in `wait` seconds."""
    found = api(team, f"/deployments/name/{deployment}")["id"]
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + wait))
    body = {"parameters": parameters, "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": when}}}
    return str(api(team, f"/deployments/{found}/create_flow_run", body)["id"])


def until(team: Team, run: str, state: str, seconds: float = 480) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while True:
        try:
            found: dict[str, Any] = api(team, f"/flow_runs/{run}")
            if found["state_name"] == state:
                return found
            assert found["state_name"] not in ("Failed", "Cancelled"), found["state"]["message"]
        except OSError:  # the server is away
            pass
        assert time.monotonic() < end, f"{found['state_name']}: {found['state']['message']}"
        time.sleep(1)


def said(team: Team, run: str) -> str:
    """The lines that Prefect has of a run, oldest first."""
    asked = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
    return "\n".join(line["message"] for line in api(team, "/logs/filter", asked))


def clone(team: Team, pool: str) -> Path:
    return team.home / "team" / "workspaces" / pool


def commit(team: Team, name: str, text: str) -> None:
    """A file of the checkout as it is from now on, for all machines."""
    (team.checkout / name).write_text(text)
    subprocess.run([*GIT, "commit", "--quiet", "--all", "--message", name], cwd=team.checkout, check=True)


def pid(team: Team, service: str) -> int:
    """Of a service, or of the `owner` of them all."""
    board = json.loads((team.home / "team" / "board.json").read_text())
    return int({"owner": board["pid"], **{line["name"]: line["pid"] for line in board["services"]}}[service])


def soon(question: Callable[[], Any], seconds: float = 240) -> Any:
    """The first answer that is something."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < end, answer
        time.sleep(0.2)
    return answer


@contextmanager
def suspended(processes: Iterable[psutil.Process]) -> Iterator[None]:
    """They stand still: a server takes connections and answers nobody."""
    for process in (still := list(processes)):
        process.suspend()
    try:
        yield
    finally:
        for process in still:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def dead(pid: int) -> None:
    """As when a machine loses its power: the process and all that it started are gone, and none of them could do anything about it."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in family(pid):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


@contextmanager
def another_worker(team: Team, pool: str, **more: str) -> Iterator[Path]:
    """A worker's clone, while the worker runs in it: it has neither folder nor parent in common with those of `longwriter team up`."""
    with tempfile.TemporaryDirectory(prefix="longwriter-") as folder:
        other = Path(folder) / "clone"
        workspaces.make(team.checkout, other, team.values)
        places = {"LONGWRITER_HOME": f"{other}/.longwriter", "LONGWRITER_WORKSPACE": str(other), "PREFECT_HOME": f"{folder}/prefect"}
        own = team.environment(**places, **ALIVE, LONGWRITER_WORKSPACE_REF="HEAD", **more)
        words = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--limit", "1"]
        with (team.logs / "another-worker.log").open("wb") as log:
            worker = subprocess.Popen([sys.executable, *words], cwd=folder, env=own, stdout=log, stderr=log, start_new_session=True)
        try:
            yield other
        finally:
            dead(worker.pid)
            worker.wait()


def small_checkout(folder: Path, graph: str, files: Mapping[str, str]) -> Path:
    """A git checkout of this project with another dvc.yaml and other data, committed."""
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in tracked.stdout.splitlines():
        if name.startswith(("flows/", "tasks/", "infra/", "mlflow/", "profiles/", ".dvc", "prefect.yaml", "params.yaml", ".gitignore")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    for name, text in {"dvc.yaml": graph, **files}.items():
        (folder / name).write_text(text)
    return committed(folder)


def committed(folder: Path) -> Path:
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    subprocess.run([*GIT, "commit", "--quiet", "--message", "start"], cwd=folder, check=True)
    return folder
