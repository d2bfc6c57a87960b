"""The child process that writes a stage's progress to MLflow: `python -m tasks.tracking.recorder`, started by live.py.

It reads one message per line from standard input, and prints one line to standard output if something cannot be recorded. It ends with its
input or with the stage: with the reported status, or, within seconds, as KILLED if the stage died without an end message. After a normal
end it has a deadline only for a server. The embedded store has none: it is always available and only slow to create.
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

from pydantic import Field, TypeAdapter

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
PROCESS = "process"  # tag with the stage's machine and process mark (tasks/processes.py)
RETRY = 60.0  # seconds before a failed server is tried again
DEADLINE = {"FINISHED": 20, "FAILED": 20, "KILLED": 3}  # seconds after the stage's end until a server is given up; for KILLED any store
LOOK = 0.5  # seconds between checks that the stage is alive
IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}  # MLflow's defaults take minutes


class Begin(Record):
    """First message: the stage that starts."""

    stage: str
    params: dict[str, str]
    began: float  # seconds since the epoch


class Numbers(Record):
    """The newest metrics of the stage."""

    values: dict[str, float]
    seconds: float  # since the stage began


class End(Record):
    """Last message: how the stage ended."""

    status: Status
    when: float  # seconds since the epoch
    tags: dict[str, str] = Field(default_factory=dict)  # of the run


Message = Begin | Numbers | Trace | End
LINE: TypeAdapter[Message] = TypeAdapter(Message)


def encode(message: Message) -> bytes:
    """Returns the message as one line of JSON."""
    return LINE.dump_json(message) + b"\n"


class Inbox:
    """Messages of the stage not yet written to MLflow: the newest metrics, all traces, the end.

    A thread reads them, so that the stage never waits for MLflow.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._news = threading.Condition()
        self.numbers: Numbers | None = None
        self.traces: list[Trace] = []
        self.end: End | None = None
        self.begin = LINE.validate_json(source.readline())
        threading.Thread(target=self._read, args=(source,), daemon=True).start()
        threading.Thread(target=self._watch, args=(os.environ.get(processes.OWNER, ""),), daemon=True).start()

    def wait(self) -> None:
        """Waits until there is something to write."""
        with self._news:
            self._news.wait_for(lambda: self.numbers or self.traces or self.end)

    def wait_for_end(self, timeout: float) -> None:
        """Waits until the stage ends, at most `timeout` seconds."""
        with self._news:
            self._news.wait_for(lambda: self.end, timeout)

    def _read(self, source: BinaryIO) -> None:
        """Reads until the end message, or until the end of input. The last line of the input may be incomplete."""
        while self.end is None:
            line = source.readline()
            if line.endswith(b"\n"):
                self._put(LINE.validate_json(line))
            else:
                self._died()

    def _watch(self, stage: str) -> None:
        """Detects a killed stage even if its input stays open, because a forked process may hold the other end."""
        while self.end is None and stage:
            if not processes.lives(stage):
                time.sleep(LOOK)  # first read what it sent before it ended
                if self.end is None:
                    self._died()
                return
            time.sleep(LOOK)

    def _died(self) -> None:
        """The stage was killed: the recorder ends soon with any store. The next run of the stage closes runs left open."""
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
    """Writes to one run, which is created with the first message."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._run_id = ""

    def write(self, inbox: Inbox) -> None:
        """Writes all messages of the inbox. Messages that MLflow refuses stay in the inbox, except metrics replaced by newer ones."""
        end, numbers = inbox.end, inbox.numbers
        if not self._run_id:
            self._create()
        if numbers:
            self._write_numbers(numbers)
            if inbox.numbers is numbers:
                inbox.numbers = None
        client = tracking.connect()
        if end:
            # Before the traces: a failed trace must not leave the run open.
            for name, value in end.tags.items():
                client.set_tag(self._run_id, name, value)
            client.set_terminated(self._run_id, end.status, end_time=int(end.when * 1000))
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
    """Closes open runs of the stage if their process on this machine is gone: their recorder was killed too."""
    filters = f"attributes.status = 'RUNNING' and tags.{KIND} = 'progress' and tags.stage = '{stage}'"
    for run in client.search_runs([tracking.experiment(client)], filter_string=filters):
        place, _, mark = run.data.tags.get(PROCESS, "").partition("-")
        if place == processes.place() and not processes.lives(mark):
            client.set_terminated(run.info.run_id, "KILLED")


def main() -> None:
    """Records the stage that sends messages to standard input."""
    for ended_by in (signal.SIGINT, signal.SIGTERM):  # the input decides when and how the stage ended
        signal.signal(ended_by, signal.SIG_IGN)
    os.nice(10)
    os.environ.update(IMPATIENT, MLFLOW_ENABLE_ASYNC_TRACE_LOGGING="false")
    sys.excepthook = _complain_of_defect
    inbox = Inbox(sys.stdin.buffer)
    assert isinstance(inbox.begin, Begin)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):  # MLflow prints links to runs
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
    """The underlying cause: MLflow's own message starts with a long address and the number of tries."""
    beneath = str(error.__context__ if isinstance(error, EndpointError) and error.__context__ else error).rpartition("Caused by ")[2]
    return f"{beneath}; check LONGWRITER_TRACKING_URI" if settings().tracking_uri else beneath


def _complain(problem: str) -> None:
    """Prints one line without addresses, which may contain a password."""
    line = re.sub(r"\S+://\S+", "the server", redact(" ".join(problem.split())))[-300:]
    try:
        print(f"MLflow: {line}", file=sys.__stdout__, flush=True)
    except BrokenPipeError:  # the stage is over
        return


def _complain_of_defect(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    _complain(f"{kind.__name__}: {error}")
    os._exit(1)  # the thread that reads the input would block a normal exit


if __name__ == "__main__":
    main()
