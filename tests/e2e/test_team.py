"""The back end as a whole: real PostgreSQL, S3, MLflow, Prefect and two workers in clones of their own, that share the servers alone.

The graph is small, `second` belongs to the pool gpu; flows, deployments and automations are this project's.
"""

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests import backend
from tests.backend import Team, api, clone, commit, pid, soon, started, until
from tests.web import Quiet, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

WORK = """
import sys, time
from pathlib import Path

source, output = map(Path, sys.argv[1:])
text, seen = source.read_text(), Path(f"{output.stem}.seen")
if "slow" in text and not seen.exists():  # the first attempt alone
    seen.touch()
    time.sleep(600)
if "patient" in text:
    time.sleep(60)
output.write_text(f"{text.strip()} {output.stem}\\n")
"""
GRAPH = """
stages:
  first: {cmd: exec python work.py in.txt first.txt, deps: [in.txt], outs: [first.txt]}
  second: {cmd: exec python work.py first.txt second.txt, meta: {pool: gpu}, deps: [first.txt], outs: [second.txt]}
  third: {cmd: exec python work.py second.txt third.txt, deps: [second.txt], outs: [third.txt]}
"""


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
        said = started.run("flows.deploy", "--silence", "90", LONGWRITER_ALERT_URL=alerts)
        assert said.returncode == 0, said.stderr
        assert "deployment longwriter/longwriter is new" in said.stdout
        yield started


def test_up_again_and_deploy_again_change_nothing_and_all_are_well(team: Team, alerts: str) -> None:
    before = pid(team, "mlflow")
    assert team.team("up").returncode == 0
    assert pid(team, "mlflow") == before
    status = team.team("status")
    assert (status.returncode, status.stdout.count(" up ")) == (0, 6), status.stdout
    again = team.run("flows.deploy", "--silence", "90", LONGWRITER_ALERT_URL=alerts)
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


def test_a_killed_worker_is_replaced_its_run_is_started_once_more_and_somebody_is_told(team: Team) -> None:
    commit(team, "in.txt", "slow\n")
    run = started(team, "stage/stage", name="first")
    soon((clone(team, "gpu") / "first.seen").exists)
    os.kill(pid(team, "worker-gpu"), signal.SIGKILL)
    assert until(team, run, "Completed")["run_count"] == 2
    soon(lambda: any("Crashed" in text for text in Told.texts))
    assert "restarts" in (team.home / "team" / "board.json").read_text()


@pytest.mark.parametrize("service", ["prefect", "postgres", "s3"])
def test_a_server_that_is_killed_in_mid_run_costs_nothing(team: Team, service: str) -> None:
    commit(team, "in.txt", f"patient {service}\n")
    run = started(team, "stage/stage", name="first")
    until(team, run, "Running")
    time.sleep(15)
    os.kill(pid(team, service), signal.SIGKILL)
    assert until(team, run, "Completed")["run_count"] == 1
    assert (clone(team, "gpu") / "first.txt").read_text() == f"patient {service} first\n"
    lock = (clone(team, "gpu") / "dvc.lock").read_text()
    assert "first:" in lock


def test_down_leaves_nothing_and_says_so(team: Team) -> None:
    assert team.team("down").stdout == "down\n"
    status = team.team("status")
    assert (status.returncode, status.stdout) == (3, "down\n")
    assert team.team("up").returncode == 0
