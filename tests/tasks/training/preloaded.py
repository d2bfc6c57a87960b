"""Starts training stages as forks of one process that has imported torch and TRL.

Importing them takes ten seconds of CPU, a training of a tiny model one. Trainers are forks of their stage. They lock, write, resume and
die as started ones do.
"""

import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import orjson

from tests.conftest import ROOT

_READY = "ready"


class Stage:
    """A running stage, used like a Popen."""

    def __init__(self, pid: int, codes: int, said: Path) -> None:
        self.pid, self._codes, self._said = pid, codes, said
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._codes], [], [], 0)[0]:
            self.returncode = int(_line(self._codes))
        return self.returncode

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def communicate(self) -> tuple[None, str]:
        """Waits for the end; what the stage and its trainers wrote to standard error."""
        if self.returncode is None:
            self.returncode = int(_line(self._codes))
        return None, self._said.read_text(encoding="utf-8", errors="replace")


class Stages:
    """Starts stages, one at a time."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def start(self, code: str, jobs: Sequence[Path], *, folder: Path, environment: Mapping[str, str]) -> Stage:
        """Run `code` with `jobs` as its arguments, in `folder`."""
        assert self._process.stdin
        assert self._process.stdout
        said = folder / "stage.log"
        asked = {"code": code, "jobs": list(map(str, jobs)), "folder": str(folder), "environment": environment, "said": str(said)}
        self._process.stdin.write(orjson.dumps(asked) + b"\n")
        self._process.stdin.flush()
        codes = self._process.stdout.fileno()
        return Stage(int(_line(codes)), codes, said)


@contextmanager
def stages() -> Iterator[Stages]:
    """Yields the starter of stages once the imports are done."""
    words = [sys.executable, "-m", "tests.tasks.training.preloaded"]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            assert process.stdout
            assert _line(process.stdout.fileno()) == _READY
            yield Stages(process)
        finally:
            process.kill()


def _line(file: int) -> str:
    """The next line of a pipe, without reading beyond it."""
    found = b""
    while not found.endswith(b"\n"):
        one = os.read(file, 1)
        assert one, "the process that starts stages has ended"
        found += one
    return found.decode().strip()


def main() -> None:
    """For each line of standard input: start a stage, print its id, wait for its end, print its exit code."""
    import tasks.training.preference
    import tasks.training.reinforced
    import tasks.training.supervised  # noqa: F401

    print(_READY, flush=True)
    for line in sys.stdin:
        asked = orjson.loads(line)
        pid = os.fork()
        if pid == 0:
            _in_child(partial(_stage, asked))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _in_child(work: Callable[[], None]) -> None:
    """Do the work in a forked child and end it, with the exit code of a Python process."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        if sys.exc_info()[0]:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)


def _stage(asked: dict[str, object]) -> None:
    from tasks.training import launch

    said = os.open(str(asked["said"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDWR)
    for source, target in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(source, target)
    os.chdir(str(asked["folder"]))
    os.environ.clear()
    os.environ.update(asked["environment"])  # type: ignore[call-overload]
    launch.join = _join  # type: ignore[assignment]
    sys.argv = ["-c", *asked["jobs"]]  # type: ignore[misc]
    exec(str(asked["code"]), {"__name__": "__main__"})


class _Trainer:
    """A trainer, a fork of its stage, used like a Popen."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def _join(job: object, settings: object, *locks: int) -> _Trainer:
    """As `launch.join`, by a fork."""
    from tasks.processes import bound, owned
    from tasks.training import trainer
    from tasks.training.job import JOB, TrainingJob

    assert isinstance(job, TrainingJob)
    before, mine = bound(signal.SIGKILL), owned()

    def train() -> None:
        before()
        os.environ.update({"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(job.where.threads)} | mine)
        sys.argv = ["tasks.training.trainer", str(job.scratch / JOB)]
        trainer.main()

    pid = os.fork()
    if pid == 0:
        _in_child(train)
    return _Trainer(pid)


if __name__ == "__main__":
    main()
