"""Flows of a promotion with approval and of a rollback: a real Prefect server, the real promote stage, a real registry."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateName
from prefect.client.schemas.objects import FlowRun
from prefect.flow_runs import resume_flow_run
from prefect.input import read_flow_run_input
from prefect.settings import PREFECT_API_URL

from flows import stages
from flows.promotion import promotion
from flows.rollback import rollback
from tasks.schema.errors import BadSettings
from tasks.tracking import registry
from tasks.tracking.client import connect, names
from tests.tasks.promotions import candidate

pytestmark = [
    pytest.mark.usefixtures("api"),
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:Type object:DeprecationWarning"),  # SQLAlchemy's, of Prefect's types
]

GRAPH = """
stages:
  score: {cmd: exec python work.py in.txt score.txt, deps: [in.txt], outs: [score.txt]}
  evaluate_general: {cmd: exec python work.py in.txt evaluate_general.txt, deps: [in.txt], outs: [evaluate_general.txt]}
  promote:
    cmd: exec python -m tasks.promote data/train data/align data/reinforce data/score data/general.json data/dataset data/promote
    deps: [score.txt, evaluate_general.txt, data/train, data/score, data/general.json, data/dataset]
    params: [seed, base, pack, train, align, reinforce, promote]
    outs: [data/promote/decision.json]
    metrics: [data/promote/metrics.json]
  report: {cmd: exec python work.py data/promote/decision.json report.txt, deps: [data/promote/decision.json], outs: [report.txt]}
"""
START = "import flows.promotion as module; module.POLL = 1; module.DAY = {day}; module.promotion(approval=True)"


@pytest.fixture
def workspace(toy: Path) -> Path:
    """The toy's quick stages around the real stage promote, with a checkpoint and scores to decide about."""
    (toy / "dvc.yaml").write_text(GRAPH)
    candidate(toy / "data", weights=b"1", s_bar=70.0)
    return toy


def ran(workspace: Path) -> list[str]:
    log = workspace / "ran.log"
    return log.read_text().split() if log.exists() else []


@contextmanager
def started(*, day: int = 120) -> Iterator["subprocess.Popen[str]"]:
    """The flow in a process of its own, as a worker runs it: with the server's address in its environment."""
    url = PREFECT_API_URL.value()
    assert url
    command = [sys.executable, "-c", START.format(day=day)]
    process = subprocess.Popen(
        command, env=os.environ | {"PREFECT_API_URL": url}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def runs_in(state: str) -> list[FlowRun]:
    asked = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[state])))
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(flow_run_filter=asked)


def paused(process: "subprocess.Popen[str]") -> FlowRun:
    """The flow's run, once it waits for an answer."""
    deadline = time.monotonic() + 180
    while not (found := runs_in("Paused")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return found[0]


def answered(process: "subprocess.Popen[str]", answer: dict[str, object]) -> FlowRun:
    """The run after the answer, over."""
    run = paused(process)
    resume_flow_run(run.id, run_input=answer)
    process.communicate(timeout=120)
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run.id)


@pytest.mark.integration
def test_a_person_sees_the_scores_and_the_gate_approves_and_is_remembered(workspace: Path) -> None:
    with started() as process:
        run = paused(process)
        assert sorted(ran(workspace)) == ["evaluate_general", "score"]
        assert registry.holders() == {}
        page = str(read_flow_run_input(key="paused-1-description", flow_run_id=run.id))
        assert "The new version would be **champion**, the first to be champion." in page
        assert "| S̄ | 7" in page
        assert "| unscored | 0.00% | at most 2.00% | holds |" in page
        over = answered(process, {"approve": True, "by": "Ann Lee", "note": "reads\nwell"})
    assert over.state_name == "Completed"
    assert ran(workspace)[-1] == "report"
    assert registry.holders() == {}, "it becomes champion in the stage serve"
    tags = registry.version("1").tags
    assert tags["candidate_against"] == ""
    assert (tags["approved_by"], tags["approval_note"]) == ("Ann Lee", "reads well")


@pytest.mark.slow
def test_a_refusal_fails_the_run_in_a_line_and_moves_nothing(workspace: Path) -> None:
    with started() as process:
        over = answered(process, {"approve": False, "by": "Ann Lee", "note": "too dull"})
    assert over.state_name == "Failed"
    assert over.state is not None
    assert "approval: refused by Ann Lee: too dull; no alias was changed" in str(over.state.message)
    assert sorted(ran(workspace)) == ["evaluate_general", "score"]
    assert not (workspace / "data/promote").exists()
    assert registry.holders() == {}


@pytest.mark.slow
def test_no_answer_in_time_is_no_approval(workspace: Path) -> None:
    with started(day=2) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "nobody answered within" in output
    assert not (workspace / "data/promote").exists()
    assert not runs_in("Paused")


def test_where_nobody_could_answer_it_is_refused_before_anything_runs(workspace: Path) -> None:
    with pytest.raises(BadSettings, match=r"^PREFECT_API_URL: not set, so nobody could approve; set it to a Prefect server, or promote"):
        promotion(approval=True)
    assert ran(workspace) == []


@pytest.mark.slow
def test_without_approval_nobody_is_asked(workspace: Path) -> None:
    assert promotion() == dict.fromkeys(("score", "evaluate_general", "promote", "report"), "Completed")
    assert "candidate_since" in registry.version("1").tags
    assert "approved_by" not in registry.version("1").tags


@pytest.mark.integration
def test_the_flow_rolls_back_and_says_what_it_did(toy: Path) -> None:
    client, name = connect(), names().model
    client.create_registered_model(name)
    for number in ("1", "2"):
        (toy / number).mkdir()
        (toy / number / "model.safetensors").write_bytes(b"weights")
        client.create_model_version(name, source=(toy / number).as_uri())
    client.set_registered_model_alias(name, "champion", "2")
    client.set_registered_model_alias(name, "previous", "1")
    said = rollback(reason="it loops")
    assert said == "version 1 is champion again, version 2 is challenger, there is no previous any more"
    assert registry.holders() == {"champion": "1", "challenger": "2"}
    assert registry.version("2").tags["rolled_back"].endswith(": it loops")
    with pytest.raises(stages.StageFailed, match=r"^models:/longwriter@champion: there is no champion before version 1") as caught:
        rollback()
    assert caught.value.exit_code == 2
