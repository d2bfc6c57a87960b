"""Measure a team's real servers on a finished run: `python -m benchmarks.team CHECKOUT`, by default this folder.

It starts what `longwriter team up` starts (PostgreSQL, an S3 server, MLflow with passwords, Prefect and a worker for each pool) in a folder
and on ports of its own, pushes the run to the team's remote, and measures

- `dvc pull` of all stages into a new clone,
- the stage promote from a new clone, the first time and once more, with the client's CPU and MLflow's requests and CPU,
- two flow runs with `elsewhere` on a new clone of the worker cpu: of the second all stages of the pool gpu can be restored.

Each figure has the load of the machine beside it, because a busy machine makes it worse. The checkout is not changed. It needs the binaries
of PostgreSQL. This takes about ten minutes.
"""

import argparse
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML

from infra.team import workspaces
from tasks.processes import family
from tests import backend
from tests.backend import GIT, Team, api, clone, pid, started, until

GOALS = {"promote": 20.0, "restored run": 60.0}  # seconds
REQUEST = re.compile(r'"(?:GET|POST|PATCH|PUT|DELETE) /(?!api/2.0/mlflow/experiments/search)')  # in the server's log; no health checks


class Cost(NamedTuple):
    """What a command took: seconds of the clock, of the client's CPU and of the server's, and requests to MLflow."""

    wall: float
    client: float
    server: float
    requests: int
    load: float  # of the machine in the last minute, at the end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", nargs="?", type=Path, default=Path(), help="a checkout with a finished `longwriter run`")
    parser.add_argument("--only", choices=["pull", "promote", "flows"], help="measure one of them")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    with tempfile.TemporaryDirectory(prefix="longwriter-bench-", dir="/tmp") as scratch:
        Path(scratch).chmod(0o755)
        copy = _copied(given.checkout.resolve(), Path(scratch) / "checkout")
        with backend.team(copy) as team:
            _shared(team)
            if given.only in (None, "pull", "promote"):
                new = Path(scratch) / "new"
                workspaces.make(copy, new, team.values)
                _say("dvc pull of all stages", _cost(team, new, "flows.verified_dvc", "pull", "--run-cache", "--allow-missing"))
            if given.only in (None, "promote"):
                _promotions(team, new)
            if given.only in (None, "flows"):
                _flows(team)


def _copied(source: Path, target: Path) -> Path:
    """A clone of the checkout with its uncommitted results (dvc.lock, metrics, plots) committed, and with its DVC cache."""
    subprocess.run(["git", "clone", "--quiet", str(source), str(target)], check=True)
    changed = subprocess.run(["git", "diff", "--name-only", "HEAD"], cwd=source, capture_output=True, text=True, check=True)
    for name in filter(lambda name: (source / name).is_file(), changed.stdout.splitlines()):
        shutil.copy(source / name, target / name)
    if changed.stdout:
        subprocess.run([*GIT, "commit", "--quiet", "--all", "--message", "The results of the run"], cwd=target, check=True)
    (target / ".dvc/cache").symlink_to(source / ".dvc/cache")
    return target


def _shared(team: Team) -> None:
    """The run is in the team's remote, and Prefect has the deployments."""
    (team.checkout / ".dvc/config.local").write_text(workspaces.remote(team.values), encoding="utf-8")
    for words in (("flows.verified_dvc", "push", "--run-cache"), ("flows.cli", "deploy")):
        done = team.run(*words)
        if done.returncode:
            sys.exit(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")


def _promotions(team: Team, folder: Path) -> None:
    command = YAML(typ="safe").load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["promote"]["cmd"].split()
    words = command[command.index("-m") + 1 :]
    (folder / "data/promote").mkdir(exist_ok=True)
    for name in ("promote, the first time", "promote again"):
        _say(name, _cost(team, folder, *words), goal=GOALS["promote"])


def _cost(team: Team, folder: Path, *words: str) -> Cost:
    """Run `python -m WORDS` in the folder."""
    log = team.logs / "mlflow.log"
    before, size, served = resource.getrusage(resource.RUSAGE_CHILDREN), log.stat().st_size, _cpu(pid(team, "mlflow"))
    start = time.monotonic()
    done = team.run(*words, folder=folder, LONGWRITER_HOME=str(folder / ".longwriter"))
    wall = time.monotonic() - start
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    requests = len(REQUEST.findall(log.read_bytes()[size:].decode(errors="replace")))
    client = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, client, _cpu(pid(team, "mlflow")) - served, requests, os.getloadavg()[0])


def _cpu(root: int) -> float:
    return sum(used.user + used.system for used in (process.cpu_times() for process in family(root) if process.is_running()))


def _flows(team: Team) -> None:
    for name in ("a flow run that promotes and serves", "a flow run of which all stages are restored"):
        shutil.rmtree(clone(team, "cpu") / ".dvc/cache", ignore_errors=True)
        subprocess.run(["git", "clean", "-fdxq", "data"], cwd=clone(team, "cpu"), check=True)
        start = time.monotonic()
        run = until(team, started(team, "longwriter/longwriter", push=True, elsewhere=True), "Completed", seconds=900)
        wall = time.monotonic() - start
        found = api(team, "/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}, "sort": "EXPECTED_START_TIME_ASC"})
        load = os.getloadavg()[0]
        print(f"{name}: {wall:.1f} s to its end, {run['total_run_time']:.1f} s of it in the worker (load {load:.1f})", flush=True)
        for line in _stages(found):
            print(f"  {line}", flush=True)


def _stages(found: list[dict[str, object]]) -> Iterator[str]:
    """The stages that took longest, and how they ended."""
    slow = sorted(found, key=lambda one: -float(str(one["total_run_time"])))[:6]
    yield "; ".join(f"{one['name']} {float(str(one['total_run_time'])):.1f} s ({one['state_name']})" for one in slow)
    elsewhere = [one["name"] for one in found if "pool" in str((one.get("state") or {}).get("message", ""))]  # type: ignore[attr-defined]
    yield f"handed over to the pool gpu: {', '.join(map(str, elsewhere)) or 'none'}"


def _say(name: str, cost: Cost, *, goal: float | None = None) -> None:
    bound = f", goal {goal:.0f} s" if goal else ""
    print(
        f"{name}: {cost.wall:.1f} s{bound}; client {cost.client:.1f} s of CPU; MLflow {cost.requests} requests, "
        f"{cost.server:.1f} s of CPU (load {cost.load:.1f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
