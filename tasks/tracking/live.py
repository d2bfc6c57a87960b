"""Records the progress of a running stage in MLflow: metrics, and complete samples as traces.

Importing MLflow takes seconds and 300 MB, and a hanging server takes minutes. Therefore a child process (`recorder`) talks to MLflow. The
stage only leaves its newest metrics for a thread, which sends them to the child. Errors never reach the stage: what cannot be recorded
causes one warning on standard error.
"""

import hashlib
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType

from tqdm import tqdm

from tasks.processes import owned
from tasks.schema.settings import settings
from tasks.tracking.recorder import Begin, End, Numbers, Status, encode
from tasks.tracking.traces import Exchange, Trace

EVERY = 10.0  # seconds between two records of the metrics
HAND_OVER = 2.0  # most seconds until the recorder has the last metrics
PATIENCE = 10.0  # most seconds that a stage waits at its end until they are written
SHARE = 0.005  # most of that wait as a share of the stage's duration
ROOT = Path(__file__).parents[2]


class Live:
    """Records a stage in MLflow: `with live_run("write", params) as live: … live.log({"words": 120})`.

    A stage that ends within settings.record_after seconds leaves no run: one replayed from the journal is over before. At its end a stage
    waits at most HAND_OVER seconds until the recorder has its last metrics. Then it waits for at most SHARE of its own duration, and about
    PATIENCE seconds, until they are written, so that a warning can still be printed. The recorder ends on its own soon after.
    """

    def __init__(self, stage: str, params: Mapping[str, object]) -> None:
        self._began = time.monotonic()
        self._begin = Begin(stage=stage, params={name: str(value) for name, value in params.items()}, began=time.time())
        self._newest: Numbers | None = None
        self._traces: SimpleQueue[Trace] = SimpleQueue()
        self._room, self._record_after = settings().traces, settings().record_after
        self._status: Status = "FINISHED"
        self._tags: dict[str, str] = {}
        self._took = 0.0
        self._over, self._handed, self._warned = threading.Event(), threading.Event(), False
        self._thread = threading.Thread(target=self._record, name="mlflow", daemon=True)

    def log(self, numbers: Mapping[str, float]) -> None:
        """Sets the newest metrics; takes microseconds. Values that are not finite, such as an unknown time left, are left out.

        Names follow MLflow's rules: letters, digits, `_`, `-`, `.`, `:`, `/` and spaces.
        """
        values = {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
        self._newest = Numbers(values=values, seconds=time.monotonic() - self._began)

    def trace(self, name: str, *, asked: str, answered: str, exchanges: Sequence[Exchange]) -> None:
        """Records a complete sample that ends now, if its name is in the share of settings.trace_share; at most settings.traces of them."""
        if self._room > 0 and is_sampled(name, settings().trace_share):
            self._room -= 1
            self._traces.put(Trace(name=name, asked=asked, answered=answered, exchanges=tuple(exchanges), ended=time.time()))

    def tag(self, **tags: str) -> None:
        """Adds tags to the run, which are written at its end."""
        self._tags |= tags

    def __enter__(self) -> "Live":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind:
            self._status = "FAILED" if issubclass(kind, Exception) else "KILLED"
        self._took = time.monotonic() - self._began
        self._over.set()
        self._handed.wait(HAND_OVER)
        if self._status != "KILLED" and self._took >= EVERY:
            self._thread.join(min(PATIENCE + 1.0, SHARE * self._took))

    def _record(self) -> None:
        try:
            if not self._over.wait(self._record_after):
                self._hand_over()
        except OSError as error:
            self._warn(f"its recorder: {error.strerror or error}")
        finally:
            self._handed.set()

    def _hand_over(self) -> None:
        recorder = _start()
        try:
            self._tell_all(recorder)
            self._handed.set()
            if recorder.wait(PATIENCE):
                self._warn(_heard(recorder) or f"its recorder ended with code {recorder.returncode}")
        except BrokenPipeError:
            self._warn(_heard(recorder) or "its recorder died")
        except subprocess.TimeoutExpired:
            self._warn(f"MLflow did not answer for {PATIENCE:g} s")
        else:
            self._warn(_heard(recorder))
        finally:
            _let_go(recorder)

    def _tell_all(self, recorder: "subprocess.Popen[bytes]") -> None:
        """Sends everything until the end of the stage, including what arrived just before the end."""
        told = None
        _tell(recorder, self._begin)
        while True:
            over = self._over.is_set()
            if (newest := self._newest) is not told and newest:
                _tell(recorder, newest)
                told = newest
            while trace := _next(self._traces):
                _tell(recorder, trace)
            self._warn(_heard(recorder))
            if over:
                break
            self._over.wait(EVERY)
        _tell(recorder, End(status=self._status, when=self._begin.began + self._took, tags=self._tags))

    def _warn(self, problem: str) -> None:
        if problem and not self._warned:
            self._warned = True
            tqdm.write(f"warning: {self._begin.stage}: progress is not recorded, the stage goes on: {problem}", file=sys.stderr)


def is_sampled(name: str, share: float) -> bool:
    """Whether a sample is in this share of all names, 0 to 1: the same samples in every run, spread evenly."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") < share * 2**64


def live_run(stage: str, params: Mapping[str, object]) -> Live:
    """Returns a recorder of the stage's progress in an MLflow run. `log` may be called often: only the newest metrics are written.

    The run has the stage's name and the tags `stage` and `kind: progress`; steps are seconds since its start. It ends as FINISHED, FAILED,
    or KILLED after an interrupt. Only the given params, metrics and texts are recorded.
    """
    return Live(stage, params)


def _start() -> "subprocess.Popen[bytes]":
    """Starts the recorder in its own session: Ctrl-C ends only the stage, and the recorder records that."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    recorder = subprocess.Popen(
        [sys.executable, "-m", "tasks.tracking.recorder"],
        env=os.environ | {"PYTHONPATH": path} | owned(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert recorder.stdout
    os.set_blocking(recorder.stdout.fileno(), False)
    return recorder


def _tell(recorder: "subprocess.Popen[bytes]", message: Begin | Numbers | Trace | End) -> None:
    assert recorder.stdin
    recorder.stdin.write(encode(message))
    recorder.stdin.flush()


def _heard(recorder: "subprocess.Popen[bytes]") -> str:
    """The first line that the recorder has printed since the last call; empty if none."""
    assert recorder.stdout
    said = (recorder.stdout.read() or b"").decode("utf-8", errors="replace")
    return said.splitlines()[0] if said else ""


def _let_go(recorder: "subprocess.Popen[bytes]") -> None:
    """Closes the pipes. The recorder may still be working."""
    assert recorder.stdin
    assert recorder.stdout
    with suppress(BrokenPipeError):
        recorder.stdin.close()
    recorder.stdout.close()


def _next(queue: "SimpleQueue[Trace]") -> Trace | None:
    try:
        return queue.get_nowait()
    except Empty:
        return None
