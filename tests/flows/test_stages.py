"""DVC decides whether a stage runs, Prefect when: a toy workspace with the real DVC and a real Prefect API."""

import logging
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import pytest
from dvc.repo import Repo
from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ParameterTypeError, TerminationSignal
from prefect.states import Cancelling
from prefect.utilities.callables import parameter_schema

from flows import graph, stages, workspace
from flows.longwriter import longwriter
from flows.stage import stage
from flows.version import version
from tasks.schema.errors import BadInput, BadSettings, WorkspaceBusy

pytestmark = pytest.mark.usefixtures("api")

COMPLETED = {"first": "Completed", "second": "Completed", "third": "Completed"}
CACHED = dict.fromkeys(COMPLETED, "Cached")
RESTORED = dict.fromkeys(COMPLETED, "Restored")


def dvc(*words: str, folder: Path | None = None) -> str:
    return subprocess.run([sys.executable, "-m", "dvc", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


def repro(*options: str, folder: Path | None = None) -> list[str]:
    """The stages that `dvc repro` ran."""
    return re.findall(r"^Running stage '(\w+)'", dvc("repro", *options, folder=folder), re.MULTILINE)


def ran(toy: Path) -> list[str]:
    """The stages whose script really worked, in order; forgets them."""
    log = toy / "ran.log"
    names = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return names


@pytest.mark.integration
def test_a_stage_is_completed_once_and_cached_after_that_and_its_lines_reach_prefects_logger(
    toy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert longwriter() == COMPLETED
    assert ran(toy) == ["first", "second", "third"]
    lines = [record.getMessage() for record in caplog.records if record.name == "prefect.task_runs"]
    assert "first reads in.txt" in lines
    assert "third: 2/3" in lines
    assert longwriter() == CACHED
    assert ran(toy) == []
    with get_client(sync_client=True) as client:
        newest = client.read_flow_runs(limit=1, sort=FlowRunSort.START_TIME_DESC)[0]
        deadline = time.monotonic() + 20
        while len(runs := [run for run in client.read_task_runs(limit=50) if run.flow_run_id == newest.id]) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    assert {run.name: run.state_name for run in runs} == CACHED


@pytest.mark.integration
def test_what_dvc_repro_ran_the_flow_does_not_and_the_reverse(done: Path) -> None:
    assert longwriter() == CACHED
    (done / "toy.yaml").write_text("words: 2\n")
    assert longwriter() == CACHED | {"first": "Completed"}
    assert repro() == []
    assert ran(done) == ["first"]


@pytest.mark.integration
def test_a_change_and_its_way_back_are_seen_within_one_process(done: Path) -> None:
    (done / "toy.yaml").write_text("words: 2\n")
    assert longwriter() == CACHED | {"first": "Completed"}
    (done / "toy.yaml").write_text("words: 1\n")
    ran(done)
    assert longwriter() == CACHED | {"first": "Restored"}  # the first run's outputs, from the run cache
    (done / "in.txt").write_text("others\n")
    assert longwriter() == COMPLETED
    (done / "in.txt").write_text("words\n")
    ran(done)
    assert longwriter() == RESTORED
    assert ran(done) == []
    assert (done / "third.txt").read_text() == "words first second third\n"
    assert repro() == []


@pytest.mark.integration
def test_deleted_or_edited_outputs_are_restored_not_made_again(done: Path) -> None:
    before = (done / "third.txt").read_text()
    (done / "first.txt").unlink()
    (done / "third.txt").unlink()
    (done / "third.txt").write_text("something else")
    (done / "dvc.lock").unlink()
    assert longwriter() == RESTORED
    assert (done / "third.txt").read_text() == before
    assert (done / "first.txt").exists()
    assert ran(done) == []


@pytest.mark.integration
def test_outputs_that_are_gone_from_the_cache_too_are_made_again(done: Path) -> None:
    (done / "third.txt").unlink()
    with Repo() as repo:
        recorded = next(out.hash_info.value for stage in repo.index.stages for out in stage.outs if out.def_path == "third.txt")
    (done / ".dvc/cache/files/md5" / recorded[:2] / recorded[2:]).unlink()
    assert longwriter() == CACHED | {"third": "Completed"}
    assert (done / "third.txt").exists()


@pytest.mark.integration
def test_a_failed_stage_fails_the_run_with_its_own_line_and_code_and_nothing_after_it_starts(toy: Path) -> None:
    (toy / "in.txt").write_text("broken\n")
    with pytest.raises(stages.StageFailed, match=r"^second: first.txt:1: text: broken; correct the line$") as caught:
        longwriter()
    assert caught.value.exit_code == 2
    assert ran(toy) == ["first", "second"]
    (toy / "in.txt").write_text("words\n")
    assert longwriter() == COMPLETED


@pytest.mark.integration
def test_a_defect_is_named_by_the_last_line_of_its_traceback(toy: Path) -> None:
    (toy / "in.txt").write_text("crash\n")
    with pytest.raises(stages.StageFailed, match=r"^first: ValueError: a defect$") as caught:
        longwriter()
    assert caught.value.exit_code == 1


def test_a_flow_brings_up_to_date_what_its_target_needs_and_no_more(toy: Path) -> None:
    with Repo() as repo:
        assert [stage.name for stage in graph.needed(repo)] == ["first", "second", "third"]
        assert graph.needed(repo, "second") == [("first", "starts", 1, 2), ("second", "", 2, 2)]
        with pytest.raises(BadInput, match="no stage fourth"):
            graph.needed(repo, "fourth")


def test_a_graph_that_cannot_be_read_is_one_line(toy: Path) -> None:
    (toy / "params.yaml").write_text("words: [1\n")
    with pytest.raises(BadInput, match=r"^params\.yaml:2: not YAML: "):
        longwriter()


def test_a_key_that_nobody_knows_is_found_though_no_stage_reads_it(toy: Path) -> None:
    with (toy / "params.yaml").open("a") as params:
        params.write("colour: red\n")
    with pytest.raises(BadInput, match=r"^params\.yaml:\d+: colour: unknown key; fix: remove it"):
        longwriter()


def test_a_second_run_is_refused_with_the_holders_pid_and_host(toy: Path) -> None:
    hold = "import sys; from flows import workspace\nwith workspace.lock(): print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    assert holder.stdin
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(WorkspaceBusy, match=rf"process {holder.pid} on \S+ runs in this workspace"):
        longwriter()
    holder.kill()
    holder.wait()
    with workspace.lock():  # a dead holder holds nothing
        pass
    for pipe in (holder.stdin, holder.stdout):
        pipe.close()


@pytest.mark.integration
def test_another_clone_restores_a_run_from_the_remote_without_a_lock_file(toy: Path, tmp_path: Path) -> None:
    clone, remote = tmp_path / "clone", tmp_path / "remote"
    dvc("remote", "add", "--default", "shared", str(remote))
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "start"], check=True)
    subprocess.run(["git", "clone", "-q", str(toy), str(clone)], check=True)
    assert longwriter(push=True) == COMPLETED
    assert not (clone / "dvc.lock").exists()
    assert repro("--pull", folder=clone) == []
    assert (clone / "third.txt").read_text() == (toy / "third.txt").read_text()
    assert not (clone / "ran.log").exists()


def shared(done: Path, tmp_path: Path, *, lost: tuple[str, ...]) -> None:
    """A remote has the run; the workspace, as a clone of it, has lost its outputs and these files too."""
    dvc("remote", "add", "--default", "shared", str(tmp_path / "remote"))
    dvc("push", "--run-cache")
    for name in (".dvc/cache", "first.txt", "second.txt", "two.txt", "third.txt", "ran.log", *lost):
        subprocess.run(["rm", "-rf", name], check=True)


def newest_tasks(number: int = 3) -> dict[str, str]:
    """{task: state and its message} of the newest flow run, once the server has `number` of them."""
    with get_client(sync_client=True) as client:
        newest = client.read_flow_runs(limit=1, sort=FlowRunSort.START_TIME_DESC)[0]
        deadline = time.monotonic() + 20
        while True:
            found = [run for run in client.read_task_runs(limit=50) if run.flow_run_id == newest.id and run.state]
            if len(found) >= number and all(run.state.is_final() for run in found if run.state):
                return {run.name: f"{run.state.name}: {run.state.message}" for run in found if run.state}
            assert time.monotonic() < deadline
            time.sleep(0.5)


@pytest.mark.integration
def test_the_flow_restores_from_the_remote_too_and_says_so(done: Path, tmp_path: Path) -> None:
    shared(done, tmp_path, lost=("dvc.lock",))
    assert longwriter() == RESTORED
    assert ran(done) == []
    assert newest_tasks()["first"] == f"Restored: from DVC's remote shared ({tmp_path / 'remote'})"
    (done / "first.txt").unlink()
    assert longwriter() == CACHED | {"first": "Restored"}
    assert newest_tasks()["first"] == "Restored: from the DVC cache of this machine"


@pytest.mark.integration
def test_a_clone_fetches_all_stages_of_the_recorded_run_by_one_pull(done: Path, tmp_path: Path) -> None:
    shared(done, tmp_path, lost=())
    assert longwriter() == RESTORED
    tasks = newest_tasks(4)
    assert sorted(tasks) == ["first", "pull", "second", "third"]
    assert tasks["third"] == f"Restored: from DVC's remote shared ({tmp_path / 'remote'})"
    assert ran(done) == []


@pytest.mark.integration
def test_no_gpu_is_asked_for_what_the_remote_has(done: Path, tmp_path: Path) -> None:
    """There is no deployment here to hand a stage to: asking for one is an error."""
    graph_file = done / "dvc.yaml"
    graph_file.write_text(graph_file.read_text().replace("second: {", "second: {meta: {pool: gpu}, "))
    shared(done, tmp_path, lost=("dvc.lock",))
    (done / ".git/info/exclude").write_text(".longwriter\n")
    for words in (["add", "-A"], ["-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "start"]):
        subprocess.run(["git", *words], check=True)
    assert longwriter(push=True, elsewhere=True) == RESTORED
    (done / "in.txt").write_text("other words\n")
    subprocess.run(["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qam", "change"], check=True)
    with pytest.raises(BadSettings, match="no deployment stage/stage at PREFECT_API_URL"):
        longwriter(push=True, elsewhere=True)
    assert ran(done) == ["first"], "the stage of the pool is never run here"


def test_a_cancelled_stage_says_so_and_what_is_kept_and_not_that_it_crashed(toy: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run that is being cancelled in Prefect gets a signal from its worker."""

    def cancelled() -> None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(str(runtime.flow_run.id)), Cancelling(message="asked by Ada"), force=True)
        raise TerminationSignal(signal=signal.SIGTERM)

    @flow
    def one() -> None:
        stages._run_stage(graph.Stage("second", "", 2, 3), cancelled, ["first"])  # type: ignore[arg-type]

    before = signal.signal(signal.SIGTERM, lambda *_: None)  # Prefect sends the signal again, to whoever handled it before
    try:
        with caplog.at_level(logging.INFO), pytest.raises(TerminationSignal):
            one()
    finally:
        signal.signal(signal.SIGTERM, before)
    lines = [record.getMessage() for record in caplog.records]
    (said,) = [line for line in lines if line.startswith("second: cancelled in Prefect at ")]
    assert said.endswith(
        "UTC: asked by Ada; kept: first is finished, paid replies are in the journal, a training's checkpoints in its folder; "
        "the next run goes on from there"
    )
    tasks = [record.getMessage() for record in caplog.records if record.name == "prefect.task_runs"]
    assert not [line for line in tasks if "Crash" in line or "Running()" in line]
    assert any(line.startswith("Finished in state Cancelled(") for line in tasks)


def test_a_parameter_of_a_stage_is_one_of_the_list_and_a_version_is_a_number() -> None:
    names = parameter_schema(stage).properties["name"]["enum"]
    assert names[:2] == ["collect", "validate_instructions"]
    assert "study/dvc.yaml:fit" in names
    assert any(name.startswith("study/dvc.yaml:train@") for name in names)
    number = parameter_schema(version).properties["number"]
    assert (number["type"], number["exclusiveMinimum"]) == ("integer", 0)
    with pytest.raises(ParameterTypeError, match="name"):
        stage.validate_parameters({"name": "fourth"})
    with pytest.raises(ParameterTypeError, match="number"):
        version.validate_parameters({"number": "latest"})
    with pytest.raises(ParameterTypeError, match="commit"):
        stage.validate_parameters({"name": "train", "commit": "main"})
