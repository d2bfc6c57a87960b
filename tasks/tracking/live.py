"""How a stage gets on while it works, in MLflow: its numbers, and whole samples as traces.

MLflow costs seconds to import, 300 MB, and minutes when a server hangs. So a process of its own (`recorder`) speaks with it,
and the stage only leaves its newest numbers for a thread that hands them over. Nothing that happens there reaches the stage:
what cannot be recorded is one warning on standard error.
"""

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType

from tqdm import tqdm

from tasks.processes import owned
from tasks.schema.settings import settings
from tasks.tracking.recorder import Begin, End, Numbers, Status, encode
from tasks.tracking.traces import Exchange, Trace

Log = Callable[[Mapping[str, float]], None]
EVERY = 10.0  # seconds between two states of the numbers
DELAY = 2.0  # seconds after which a stage is worth a run: one that is replayed from the store is over sooner
HAND_OVER = 2.0  # seconds, at the most, until the last numbers are in the recorder's hands
PATIENCE = 10.0  # seconds, at the most, that a stage waits at its end until they are written
SHARE = 0.005  # of the stage's own time, at the most, that it waits so
ROOT = Path(__file__).parents[2]


class Live:
    """The block of a stage that MLflow sees: `with live_run("write", params) as live: … live.log({"words": 120})`.

    A stage that is over within DELAY seconds leaves no run. At its end a stage waits until its last numbers are handed over, HAND_OVER
    seconds at the most. Until they are written it waits for a SHARE of its own time and PATIENCE seconds at the most, so that a
    complaint can still be heard; the recorder ends by itself, soon after.
    """

    def __init__(self, stage: str, params: Mapping[str, object]) -> None:
        self._began = time.monotonic()
        self._begin = Begin(stage=stage, params={name: str(value) for name, value in params.items()}, began=time.time())
        self._newest: Numbers | None = None
        self._traces: SimpleQueue[Trace] = SimpleQueue()
        self._room = settings().traces
        self._status: Status = "FINISHED"
        self._took = 0.0
        self._over, self._handed, self._warned = threading.Event(), threading.Event(), False
        self._thread = threading.Thread(target=self._record, name="mlflow", daemon=True)

    def log(self, numbers: Mapping[str, float]) -> None:
        """The newest numbers; costs microseconds. Those that are not finite, such as a time left that nobody knows, are left out.

        Names are MLflow's: letters, digits, `_`, `-`, `.`, `:`, `/` and spaces.
        """
        values = {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
        self._newest = Numbers(values=values, seconds=time.monotonic() - self._began)

    def trace(self, name: str, *, asked: str, answered: str, exchanges: Sequence[Exchange]) -> None:
        """A whole sample that has ended now. After as many as settings.traces says, more are left out."""
        if self._room > 0:
            self._room -= 1
            self._traces.put(Trace(name=name, asked=asked, answered=answered, exchanges=tuple(exchanges), ended=time.time()))

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
            if not self._over.wait(DELAY):
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
        """Everything until the end, also what came in just before it."""
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
        _tell(recorder, End(status=self._status, when=self._begin.began + self._took))

    def _warn(self, problem: str) -> None:
        if problem and not self._warned:
            self._warned = True
            tqdm.write(f"warning: {self._begin.stage}: progress is not recorded, the stage goes on: {problem}", file=sys.stderr)


def live_run(stage: str, params: Mapping[str, object]) -> Live:
    """An MLflow run that shows how a stage gets on while it works. Log as often as you like: the newest numbers are written.

    The run is called like the stage and tagged `stage` and `kind: progress`; steps are seconds since its start. It ends as FINISHED,
    FAILED, or KILLED when it is interrupted. Nothing is recorded but the params, numbers and texts that are given.
    """
    return Live(stage, params)


def _start() -> "subprocess.Popen[bytes]":
    """The recorder, in a session of its own: Ctrl-C ends the stage, and the recorder writes that down."""
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
    """What the recorder has complained of since the last time; its first line."""
    assert recorder.stdout
    said = (recorder.stdout.read() or b"").decode("utf-8", errors="replace")
    return said.splitlines()[0] if said else ""


def _let_go(recorder: "subprocess.Popen[bytes]") -> None:
    """Close its pipes; it may still be working."""
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
