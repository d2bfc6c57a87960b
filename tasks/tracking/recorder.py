"""The process that writes a stage's progress into MLflow: `python -m tasks.tracking.recorder`, started by `live`.

It reads messages on standard input, a line each, and answers with a line on standard output when something cannot be recorded.
It ends when its input does, or the stage: with the status that it was told, or as KILLED when the stage died without a word, and then
within seconds. After a stage that ended well it is not hurried while it works on the embedded store, which is always there and only slow
to make; a server gets a deadline.
"""

import os
import re
import signal
import sys
import threading
import time
from contextlib import redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Literal

from pydantic import TypeAdapter

from tasks import processes
from tasks.schema.errors import EndpointError, PipelineError
from tasks.schema.records import Record
from tasks.schema.redaction import redact
from tasks.schema.settings import settings
from tasks.tracking import client as tracking
from tasks.tracking import embedded, lineage
from tasks.tracking.runs import KIND
from tasks.tracking.traces import Trace, record_trace

if TYPE_CHECKING:
    from mlflow import MlflowClient

Status = Literal["FINISHED", "FAILED", "KILLED"]
SQLITE = "sqlite:///"
PROCESS = "process"  # the tag with the stage's place and mark, see tasks.processes
RETRY = 60.0  # seconds before a server that failed is tried again
DEADLINE = {"FINISHED": 20, "FAILED": 20, "KILLED": 3}  # seconds after the stage's end until a server is given up; killed: any store
LOOK = 0.5  # seconds between looks at whether the stage lives
IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}  # MLflow's own: minutes


class Begin(Record):
    stage: str
    params: dict[str, str]
    began: float  # seconds since the epoch


class Numbers(Record):
    values: dict[str, float]
    seconds: float  # since the stage began


class End(Record):
    status: Status
    when: float  # seconds since the epoch


Message = Begin | Numbers | Trace | End
LINE: TypeAdapter[Message] = TypeAdapter(Message)


def encode(message: Message) -> bytes:
    """A line."""
    return LINE.dump_json(message) + b"\n"


class Inbox:
    """What the stage has said and MLflow has not been told: the newest numbers, all traces, the end. Read by a thread, so that the
    stage never waits for MLflow to take something."""

    def __init__(self, source: BinaryIO) -> None:
        self._news = threading.Condition()
        self.numbers: Numbers | None = None
        self.traces: list[Trace] = []
        self.end: End | None = None
        self.begin = LINE.validate_json(source.readline())
        threading.Thread(target=self._read, args=(source,), daemon=True).start()
        threading.Thread(target=self._watch, args=(os.environ.get(processes.OWNER, ""),), daemon=True).start()

    def wait(self) -> None:
        """Until there is something to write."""
        with self._news:
            self._news.wait_for(lambda: self.numbers or self.traces or self.end)

    def wait_for_end(self, timeout: float) -> None:
        with self._news:
            self._news.wait_for(lambda: self.end, timeout)

    def _read(self, source: BinaryIO) -> None:
        """To the end that the stage tells, or to that of the input, where half a line may stand."""
        while self.end is None:
            line = source.readline()
            if line.endswith(b"\n"):
                self._put(LINE.validate_json(line))
            else:
                self._died()

    def _watch(self, stage: str) -> None:
        """A killed stage is dead though its input stays open: a process that it forked may hold the other end."""
        while self.end is None and stage:
            if not processes.lives(stage):
                time.sleep(LOOK)  # what it said before it ended is read first
                if self.end is None:
                    self._died()
                return
            time.sleep(LOOK)

    def _died(self) -> None:
        """The stage was killed: nothing of it works on for long, on any store. The next run of the stage closes what is left open."""
        signal.alarm(DEADLINE["KILLED"])
        self._put(End(status="KILLED", when=time.time()))

    def _put(self, message: Message) -> None:
        with self._news:
            if isinstance(message, Numbers):
                self.numbers = message
            elif isinstance(message, Trace):
                self.traces.append(message)
            elif isinstance(message, End):
                self.end = message
                if not tracking.uri().startswith(SQLITE):
                    signal.alarm(DEADLINE[message.status])
            self._news.notify_all()


class Recorder:
    """A run that is created with the first thing there is to write."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._run_id = ""

    def write(self, inbox: Inbox) -> None:
        """All that the inbox holds. What MLflow does not take stays in it, but for numbers that newer ones replace."""
        end, numbers = inbox.end, inbox.numbers
        if not self._run_id:
            self._create()
        if numbers:
            self._write_numbers(numbers)
            if inbox.numbers is numbers:
                inbox.numbers = None
        client = tracking.connect()
        if end:
            client.set_terminated(
                self._run_id, end.status, end_time=int(end.when * 1000)
            )  # before the traces: a run must not look alive because a trace is not taken
        while inbox.traces:
            record_trace(client, inbox.traces[0], stage=self._begin.stage, run_id=self._run_id)
            inbox.traces.pop(0)

    def _create(self) -> None:
        from mlflow.entities import Param

        if tracking.uri().startswith(SQLITE):
            embedded.make(Path(tracking.uri().removeprefix(SQLITE)))
        client, begin = tracking.connect(), self._begin
        _close_dead(client, begin.stage)
        own = {KIND: "progress", PROCESS: f"{processes.place()}-{os.environ.get(processes.OWNER, '')}"}
        tags = {**lineage.tags(client, tracking.experiment(client), stage=begin.stage), **own}
        run = client.create_run(tracking.experiment(client), start_time=int(begin.began * 1000), run_name=begin.stage, tags=tags)
        self._run_id = str(run.info.run_id)
        client.log_batch(self._run_id, params=[Param(name, value) for name, value in begin.params.items()])

    def _write_numbers(self, numbers: Numbers) -> None:
        from mlflow.entities import Metric

        when, step = int((self._begin.began + numbers.seconds) * 1000), int(numbers.seconds)
        metrics = [Metric(name, value, when, step) for name, value in numbers.values.items()]
        tracking.connect().log_batch(self._run_id, metrics=metrics)


def _close_dead(client: "MlflowClient", stage: str) -> None:
    """Runs of the stage that look alive, of processes of this machine that are gone: their recorders were killed too."""
    filters = f"attributes.status = 'RUNNING' and tags.{KIND} = 'progress' and tags.stage = '{stage}'"
    for run in client.search_runs([tracking.experiment(client)], filter_string=filters):
        place, _, mark = run.data.tags.get(PROCESS, "").partition("-")
        if place == processes.place() and not processes.lives(mark):
            client.set_terminated(run.info.run_id, "KILLED")


def main() -> None:
    for ended_by in (signal.SIGINT, signal.SIGTERM):  # the end of the input says when, and how the stage ended
        signal.signal(ended_by, signal.SIG_IGN)
    os.nice(10)
    os.environ.update(IMPATIENT, MLFLOW_ENABLE_ASYNC_TRACE_LOGGING="false")
    sys.excepthook = _complain_of_defect
    inbox = Inbox(sys.stdin.buffer)
    assert isinstance(inbox.begin, Begin)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):  # MLflow prints where to look at a run
        _record_all(Recorder(inbox.begin), inbox)


def _record_all(recorder: Recorder, inbox: Inbox) -> None:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    over = False
    while not over:
        inbox.wait()
        over = inbox.end is not None
        try:
            recorder.write(inbox)
        except (PipelineError, MlflowException, SQLAlchemyError, OSError) as error:
            _complain(_reason(error))
            if not over:
                inbox.wait_for_end(RETRY)


def _reason(error: Exception) -> str:
    """What lies beneath: the message of a request that failed begins with a long address and how often it was tried."""
    beneath = str(error.__context__ if isinstance(error, EndpointError) and error.__context__ else error).rpartition("Caused by ")[2]
    return f"{beneath}; check LONGWRITER_TRACKING_URI" if settings().tracking_uri else beneath


def _complain(problem: str) -> None:
    """A line without addresses: they may carry a password."""
    line = re.sub(r"\S+://\S+", "the server", redact(" ".join(problem.split())))[-300:]
    try:
        print(f"MLflow: {line}", file=sys.__stdout__, flush=True)
    except BrokenPipeError:  # the stage is over
        return


def _complain_of_defect(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    _complain(f"{kind.__name__}: {error}")
    os._exit(1)  # the thread that reads the input would not let go of it


if __name__ == "__main__":
    main()
