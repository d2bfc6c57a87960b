"""However a run ends (Ctrl-C, SIGTERM, kill -9, a stage that leaves children behind), none of its processes survives."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
from prefect.states import Running

from flows import child, embedded
from flows.longwriter import longwriter

pytestmark = pytest.mark.usefixtures("toy")


def start() -> "subprocess.Popen[str]":
    url = PREFECT_API_URL.value()
    assert url
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "run"],
        env=os.environ | {"PREFECT_API_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def started_stage(toy: Path, process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The processes under the flow, once the slow stage and its child run."""
    deadline = time.monotonic() + 120
    while not (toy / "pids").exists() or not (toy / "pids").read_text():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)  # the child of the stage asks the kernel for its parent's death
    below = psutil.Process(process.pid).children(recursive=True)
    assert {int(pid) for pid in (toy / "pids").read_text().split()} <= {member.pid for member in below}
    return below


def all_end(processes: list[psutil.Process], *, seconds: float = 60) -> bool:
    return not psutil.wait_procs(processes, timeout=seconds)[1]


@pytest.mark.integration
@pytest.mark.usefixtures("api")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)])
def test_ctrl_c_and_sigterm_end_the_whole_tree_and_a_rerun_goes_on(toy: Path, number: signal.Signals, code: int) -> None:
    (toy / "in.txt").write_text("slow\n")
    process = start()
    below = started_stage(toy, process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert "Traceback" not in output
    assert all_end(below)
    (toy / "in.txt").write_text("words\n")
    again = start()
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output


@pytest.mark.integration
@pytest.mark.usefixtures("api")
def test_kill_9_leaves_no_orphan_and_frees_the_workspace(toy: Path) -> None:
    (toy / "in.txt").write_text("slow\n")
    process = start()
    below = started_stage(toy, process)
    process.kill()
    process.communicate()
    assert all_end(below)
    (toy / "in.txt").write_text("broken\n")
    again = start()
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 2, output  # not refused: it ran, up to the stage with bad input
    assert "error: second: first.txt:1: text: broken; correct the line" in output
    assert "Traceback" not in output
    assert "not started" in output


def test_prefects_embedded_api_dies_with_the_flow(tmp_path: Path) -> None:
    code = "import time; from flows import embedded; print(embedded._start(embedded._free_port(), 2).pid, flush=True); time.sleep(60)"
    flow = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert flow.stdout
    server = psutil.Process(int(flow.stdout.readline()))
    flow.kill()
    flow.communicate()
    assert all_end([server])


@pytest.mark.integration
@pytest.mark.usefixtures("api")
def test_a_run_that_was_killed_is_closed_as_crashed_by_the_next_one() -> None:
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(longwriter, state=Running())
        embedded.close_killed_runs()
        assert client.read_flow_run(run.id).state_name == "Crashed"


def test_a_child_that_ends_takes_what_it_left_running_with_it(tmp_path: Path) -> None:
    seen: list[child.Output] = []
    code = child.run(["sh", "-c", "sleep 300 & echo $!; exit 3"], seen.append)
    assert code == 3
    assert not psutil.pid_exists(int(seen[0].text))


def test_lines_and_bars_are_told_apart() -> None:
    seen: list[child.Output] = []
    script = r"printf 'one\n\rbar 1'; sleep 0.3; printf '\rbar 2'; sleep 0.3; printf '\rbar 3\ntwo\r\n\033[31mred\033[0m\n\377 last'"
    script += r"; printf '\n\rbar 1'; sleep 0.3; echo 'error: x'"
    child.run(["sh", "-c", script], seen.append)
    assert seen == [
        ("one", False),
        ("bar 1", True),
        ("bar 2", True),
        ("bar 3", False),
        ("two", False),
        ("red", False),
        ("\ufffd last", False),
        ("bar 1", True),
        ("bar 1", False),
        ("error: x", False),
    ]
