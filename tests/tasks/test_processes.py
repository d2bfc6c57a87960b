"""Children end with their parent whenever it dies: during their start, during their work, and behind any launcher."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tasks import processes
from tests.conftest import ROOT

# A parent in a session of its own, as DVC is: it starts a command, says its number, and waits.
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], env=os.environ | {"DVC_STAGE": "toy"}, stdin=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(300)
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def gone(pid: int, seconds: float = 20.0) -> bool:
    try:
        psutil.Process(pid).wait(seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.mark.integration
@pytest.mark.parametrize("pause", [0.0, 0.05, 0.3, 1.0, 3.0])
def test_a_stage_ends_with_dvc_though_it_has_only_just_begun(tmp_path: Path, pause: float) -> None:
    """The stage is paid for, and the run that started it is gone: at any moment of its start it ends."""
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    command = [sys.executable, "-c", PARENT, sys.executable, "-m", "tasks.plan", "in.jsonl", "passed.json", "out"]
    # A first-in-first-out file keeps the stage waiting once it reads its input.
    os.mkfifo(tmp_path / "params.yaml")
    parent = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    time.sleep(pause)
    parent.kill()
    parent.wait()
    assert gone(child)


def test_a_child_whose_parent_dies_before_it_begins_does_not_begin(tmp_path: Path) -> None:
    """The parent is killed between fork and exec: the child waits there until it is gone."""
    code = f"""
import os, signal, subprocess, sys, time
from tasks.processes import bound
before = bound()
def slow():
    open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGKILL)
    while os.getppid() == {{}}: time.sleep(0.01)
    before()
subprocess.Popen([sys.executable, "-c", "open({str(tmp_path / "ran")!r}, 'w')"], preexec_fn=slow)
"""
    code = code.replace("== {}", "== parent").replace("before = bound()", "before, parent = bound(), os.getpid()")
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == -signal.SIGKILL
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.05)
    assert gone(int((tmp_path / "pid").read_text()))
    assert not (tmp_path / "ran").exists()


def test_a_worker_below_a_launcher_does_not_begin_once_its_owner_is_gone() -> None:
    owner = subprocess.Popen(["sleep", "300"])
    mark = processes.mark(owner.pid)
    assert processes.lives(mark)
    owner.kill()
    os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.lives(mark), "a dead process that nobody has collected does not live"
    owner.wait()
    command = [sys.executable, "-m", "tasks.training.trainer", "no-such-job.json"]
    ended = subprocess.run(command, cwd=ROOT, env=environment() | {processes.OWNER: mark}, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGTERM, "")


def test_a_mark_tells_a_process_from_a_later_one_with_its_number() -> None:
    mine = processes.mark()
    assert processes.lives(mine)
    number, _, start = mine.partition("-")
    assert not processes.lives(f"{number}-{int(start) + 1}")
    assert not processes.lives("nonsense")


def test_a_command_that_make_started_ends_with_make(tmp_path: Path) -> None:
    code = "import os, time; from tasks.processes import die_with_make; die_with_make(); print(os.getpid(), flush=True); time.sleep(300)"
    (tmp_path / "command.py").write_text(code)
    (tmp_path / "Makefile").write_text(f"run:\n\t@{sys.executable} command.py\n")
    make = subprocess.Popen(["make", "--no-print-directory", "run"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    assert make.stdout
    child = int(make.stdout.readline())
    make.kill()
    make.wait()
    assert gone(child)


def test_a_command_that_a_shell_started_may_outlive_it(tmp_path: Path) -> None:
    code = "import os, time; from tasks.processes import die_with_make; die_with_make(); print(os.getpid(), flush=True); time.sleep(300)"
    shell = subprocess.Popen(["sh", "-c", f"{sys.executable} -c '{code}'; true"], env=environment(), stdout=subprocess.PIPE, text=True)
    assert shell.stdout
    child = psutil.Process(int(shell.stdout.readline()))
    shell.kill()
    shell.wait()
    time.sleep(1)
    assert child.is_running()
    child.kill()
