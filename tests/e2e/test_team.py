"""The back end as a whole: real PostgreSQL, S3, MLflow, Prefect and two workers in clones of their own, that share the servers alone.

The graph is small, `second` belongs to the pool gpu; flows, deployments and automations are this project's.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any

import pytest

from tasks.processes import family
from tests import backend
from tests.backend import Team, another_worker, api, clone, commit, pid, said, soon, started, suspended, until
from tests.browser import CHROMIUM, browser
from tests.web import Quiet, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

WORK = """
import sys, time
from pathlib import Path

from tasks.stage import one_line_errors

source, output = map(Path, sys.argv[1:])
text, begun = source.read_text(), Path(f"{output.stem}.begun")
again = begun.exists() and begun.read_text() == text
begun.write_text(text)
if "slow" in text and not again:
    time.sleep(600)
for second in range(60 if "patient" in text else 0):
    print(f"second {second} of {text}", end="", flush=True)
    time.sleep(1)
with one_line_errors():
    output.write_text(f"{text.strip()} {output.stem}\\n" * (500_000 if "large" in text else 1))
"""
GRAPH = """
stages:
  first: {cmd: exec python work.py in.txt first.txt, deps: [in.txt], outs: [first.txt]}
  second: {cmd: exec python work.py first.txt second.txt, meta: {pool: gpu}, deps: [first.txt], outs: [second.txt]}
  third: {cmd: exec python work.py second.txt third.txt, deps: [second.txt], outs: [third.txt]}
"""
FAKETIME = glob("/usr/lib/*/faketime/libfaketime.so.1")


class Told(Quiet):
    """Where alerts go."""

    texts: list[str] = []  # noqa: RUF012  of the one server

    def do_POST(self) -> None:
        self.texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
        self.send_response(200)
        self.end_headers()


@pytest.fixture(scope="module")
def alerts() -> Iterator[str]:
    with served(Told) as url:
        yield f"{url}/hook"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, alerts: str) -> Iterator[Team]:
    checkout = backend.small_checkout(tmp_path_factory.mktemp("checkout"), GRAPH, {"work.py": WORK, "in.txt": "words\n"})
    with backend.team(checkout) as started:
        said = started.run("flows.cli", "deploy", LONGWRITER_ALERT_URL=alerts)
        assert said.returncode == 0, said.stderr
        assert "deployment longwriter/longwriter is new" in said.stdout
        yield started


def begun(team: Team, text: str) -> None:
    """The stage `first` is at work on this text, on the machine of the pool gpu."""
    mark = clone(team, "gpu") / "first.begun"
    soon(lambda: mark.exists() and mark.read_text() == text)


def test_up_again_and_deploy_again_change_nothing_and_all_are_well(team: Team, alerts: str) -> None:
    before = pid(team, "mlflow")
    assert team.team("up").returncode == 0
    assert pid(team, "mlflow") == before
    status = team.team("status")
    assert (status.returncode, status.stdout.count(" up ")) == (0, 6), status.stdout
    again = team.run("flows.cli", "deploy", LONGWRITER_ALERT_URL=alerts)
    assert again.stdout == "nothing to change\n"
    assert api(team, "/work_pools/gpu")["concurrency_limit"] == 1


def test_a_scheduled_run_is_finished_by_two_workers_that_share_the_servers_alone(team: Team) -> None:
    run = until(team, started(team, "longwriter/longwriter", wait=5, push=True, elsewhere=True), "Completed")
    assert run["work_pool_name"] == "cpu"
    cpu, gpu = clone(team, "cpu"), clone(team, "gpu")
    assert (cpu / "third.txt").read_text() == "words first second third\n"
    assert (gpu / "second.txt").read_text() == (cpu / "second.txt").read_text()
    assert not (gpu / "third.txt").exists()
    children = api(team, "/flow_runs/filter", {"flow_runs": {"name": {"any_": ["second"]}}})
    assert [child["work_pool_name"] for child in children] == ["gpu"]


def test_the_form_of_the_ui_has_types_and_words(team: Team) -> None:
    schema = api(team, "/deployments/name/longwriter/longwriter")["parameter_openapi_schema"]["properties"]
    assert {name: field["type"] for name, field in schema.items()} == {"push": "boolean", "elsewhere": "boolean"}
    assert all(field["description"] for field in schema.values())


@pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")
def test_a_person_with_the_password_sees_the_form_and_what_a_run_did(team: Team, tmp_path: Path) -> None:
    pages, deployment = team.values["PREFECT_API_URL"].removesuffix("/api"), api(team, "/deployments/name/longwriter/longwriter")["id"]
    run = until(team, started(team, "longwriter/longwriter"), "Completed")
    with browser(tmp_path / "profile") as tab:
        tab.allow(team.values["PREFECT_API_AUTH_STRING"])
        tab.text(f"{pages}/deployments/deployment/{deployment}/run", "push", "elsewhere", "run cache included")
        tab.text(f"{pages}/runs/flow-run/{run['id']}", run["name"], "Completed", "Cached", "first", "third")


def test_a_value_that_no_stage_has_is_refused_before_a_worker_starts(team: Team) -> None:
    schema = api(team, "/deployments/name/stage/stage")["parameter_openapi_schema"]["properties"]
    assert schema["name"]["enum"] == ["first", "second", "third"]
    assert api(team, "/deployments/name/version/version")["parameter_openapi_schema"]["properties"]["number"]["type"] == "integer"
    refused = team.run("prefect", "deployment", "run", "stage/stage", "-p", "name=fourth")
    assert refused.returncode == 1
    assert "fourth" in refused.stdout + refused.stderr


def test_a_killed_worker_is_replaced_its_run_is_started_once_more_and_somebody_is_told(team: Team) -> None:
    commit(team, "in.txt", "slow\n")
    run = started(team, "stage/stage", name="first")
    begun(team, "slow\n")
    os.kill(pid(team, "worker-gpu"), signal.SIGKILL)
    assert until(team, run, "Completed")["run_count"] == 2
    soon(lambda: any("Crashed" in text for text in Told.texts))
    assert "restarts" in (team.home / "team" / "board.json").read_text()


@pytest.mark.parametrize("service", ["prefect", "postgres", "s3"])
def test_a_server_that_is_killed_in_mid_run_costs_nothing(team: Team, service: str) -> None:
    commit(team, "in.txt", f"patient {service}\n")
    run = started(team, "stage/stage", name="first")
    begun(team, f"patient {service}\n")
    os.kill(pid(team, service), signal.SIGKILL)
    completed(team, run, f"patient {service}")


def test_prefect_that_answers_nobody_for_a_minute_at_the_end_of_a_stage_costs_nothing(team: Team) -> None:
    commit(team, "in.txt", "patient minute\n")
    run = started(team, "stage/stage", name="first")
    begun(team, "patient minute\n")
    with suspended(family(pid(team, "prefect"))):
        time.sleep(70)  # the fault itself, which the stage's end falls into
    completed(team, run, "patient minute")


def completed(team: Team, run: str, text: str) -> None:
    """In its first attempt, with what it made, what it said, and DVC's word for it."""
    assert until(team, run, "Completed")["run_count"] == 1
    assert (clone(team, "gpu") / "first.txt").read_text() == f"{text} first\n"
    assert "first:" in (clone(team, "gpu") / "dvc.lock").read_text()
    told = [f"second {second} of {text}" for second in range(60)]
    soon(lambda: told[-1] in said(team, run).splitlines())  # the last lines are sent behind the end
    assert [line for line in dict.fromkeys(said(team, run).splitlines()) if line.startswith("second ")] == told


def test_two_runs_of_a_deployment_at_once_on_two_machines_go_one_after_the_other(team: Team) -> None:
    commit(team, "in.txt", "twice\n")
    with another_worker(team, "cpu"):
        both = [started(team, "longwriter/longwriter", wait=10, push=True, elsewhere=True) for _ in range(2)]
        one, other = sorted((until(team, run, "Completed") for run in both), key=lambda run: str(run["start_time"]))
    assert one["end_time"] <= other["start_time"]
    for stage in ("first", "third"):
        assert states(team, one)[stage] == "Completed"
        assert states(team, other)[stage] in ("Cached", "Restored"), "the other machine fetches it"
    handed = {"idempotency_key": {"any_": [f"{run}:second" for run in both]}}
    (child,) = api(team, "/flow_runs/filter", {"flow_runs": handed})
    assert states(team, child)["second"] == "Completed", "the other run restores it and asks for no worker of the pool gpu"


def states(team: Team, run: dict[str, Any]) -> dict[str, str]:
    """Of the tasks of a run, by name."""
    return {task["name"]: task["state_name"] for task in api(team, "/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})}


def test_a_run_on_a_full_disk_says_so_and_is_done_once_there_is_room(team: Team) -> None:
    commit(team, "in.txt", "large\n")
    with small_disk(clone(team, "gpu"), room=2**20) as ballast:
        failed = until(team, started(team, "stage/stage", name="first"), "Failed")
        assert "No space left on device; free some space and run again" in failed["state"]["message"]
        ballast.unlink()
        until(team, started(team, "stage/stage", name="first"), "Completed")
        assert (clone(team, "gpu") / "first.txt").read_text() == "large first\n" * 500_000


@contextmanager
def small_disk(folder: Path, *, room: int) -> Iterator[Path]:
    """The folder on a disk of its own, which is full but for `room` bytes; the file that fills it."""
    if os.geteuid():
        pytest.skip("only root may mount a small disk")
    shutil.copytree(folder, kept := folder.with_name("kept"), symlinks=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("no disk may be mounted here")
    try:
        shutil.copytree(kept, folder, symlinks=True, dirs_exist_ok=True)
        with (folder / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(folder).free - room)
        yield folder / "ballast"
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(not FAKETIME, reason="no libfaketime: apt-get install libfaketime")
def test_a_worker_whose_clock_is_an_hour_ahead_says_so_before_anything_runs(team: Team) -> None:
    commit(team, "in.txt", "later\n")
    hour = {"LD_PRELOAD": FAKETIME[0], "FAKETIME": "+1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with suspended(family(pid(team, "worker-gpu"))), another_worker(team, "gpu", **hour) as other:
        failed = until(team, started(team, "stage/stage", name="first"), "Failed")
        assert "this machine's clock is 60 minutes ahead of the server's; set it" in failed["state"]["message"]
        assert not (other / "first.begun").exists()


def test_down_leaves_nothing_and_says_so(team: Team) -> None:
    assert team.team("down").stdout == "down\n"
    status = team.team("status")
    assert (status.returncode, status.stdout) == (3, "down\n")
    assert team.team("up").returncode == 0
