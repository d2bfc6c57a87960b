"""A stage's progress in MLflow: on the real embedded store, and with servers that are down, hang or answer with errors."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import psutil
import pytest

from tasks import processes
from tasks.endpoints.chat import Reply
from tasks.schema.records import Message, Usage
from tasks.schema.settings import settings
from tasks.tracking import live, runs
from tasks.tracking.client import connect, experiment
from tasks.tracking.live import live_run
from tasks.tracking.recorder import PROCESS
from tasks.tracking.traces import Exchange
from tests.conftest import ROOT

TAKEN = Reply("The sea rose.", "stop", Usage(prompt=20, completion=4, cached=16), 0.5)
REFUSED = Reply("I cannot help with that.", "stop", Usage(prompt=20, completion=6), 0.25)
ASK = (Message(role="system", content="You write."), Message(role="user", content='Write "one" paragraph. 海'))
EXCHANGES = [
    Exchange("plan", ASK, 0, None, "no connection", 1.0),
    Exchange("paragraph 1 of 1", ASK, 0, REFUSED, "refusal: I cannot", 0.25),
    Exchange("paragraph 1 of 1", ASK, 1, TAKEN, None, 0.5),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage is long enough to be recorded, and waits until it is."""
    record_after(0.0, monkeypatch)
    monkeypatch.setattr(live, "EVERY", 0.001)
    monkeypatch.setattr(live, "PATIENCE", 60.0)
    monkeypatch.setattr(live, "SHARE", 1e6)


def record_after(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_RECORD_AFTER", str(seconds))
    settings.cache_clear()


def found(stage: str = "write") -> list[Any]:
    client = connect()
    return list(client.search_runs([experiment(client)], filter_string=f"tags.stage = '{stage}' and tags.kind = 'progress'"))


def traces() -> list[Any]:
    client = connect()
    return list(client.search_traces(locations=[experiment(client)], filter_string="tags.stage = 'write'"))


@pytest.mark.integration
@pytest.mark.usefixtures("mlflow_home")
def test_the_numbers_the_params_and_the_samples_of_a_stage_are_one_finished_run() -> None:
    training = runs.record("train", "abc")
    with live_run("write", {"mode": "serial", "concurrency": 64}) as run:
        for words in range(100):
            run.log({"words": words, "tokens/s": 12.5, "time left": float("inf")})
        time.sleep(1.1)
        run.trace("a sample", asked="Write about the sea.", answered="The sea rose.", exchanges=EXCHANGES)
        run.log({"words": 400, "tokens/s": 12.5})
    (recorded,) = found()
    assert (recorded.info.run_name, recorded.info.status) == ("write", "FINISHED")
    assert recorded.data.params == {"mode": "serial", "concurrency": "64"}
    assert recorded.data.metrics == {"words": 400.0, "tokens/s": 12.5}
    assert [(metric.value, metric.step) for metric in connect().get_metric_history(recorded.info.run_id, "words")][-1] == (400.0, 1)
    assert recorded.info.end_time - recorded.info.start_time == pytest.approx(1_100, abs=100)
    assert runs.record("train", "abc") == training


@pytest.mark.integration
@pytest.mark.usefixtures("mlflow_home")
def test_a_person_can_read_in_a_trace_what_was_asked_and_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_TRACES", "1")
    settings.cache_clear()
    with live_run("write", {}) as run:
        run.trace("a sample", asked="Write about the sea.", answered="The sea rose.", exchanges=EXCHANGES)
        run.trace("one too many", asked="Write.", answered="No.", exchanges=[])
    (trace,) = traces()
    root, plan, refused, taken = sorted(trace.data.spans, key=lambda span: int(span.start_time_ns))
    assert (root.name, root.inputs, root.outputs) == ("a sample", "Write about the sea.", "The sea rose.")
    assert trace.info.trace_metadata["mlflow.sourceRun"] == found()[0].info.run_id
    assert trace.info.token_usage == {"input_tokens": 40, "output_tokens": 10, "total_tokens": 50, "cache_read_input_tokens": 16}
    assert abs(trace.info.execution_duration - 1_750) <= 1

    assert {span.span_type for span in (plan, refused, taken)} == {"CHAT_MODEL"}
    assert {span.parent_id for span in (plan, refused, taken)} == {root.span_id}
    assert taken.inputs == {"messages": [message.model_dump() for message in ASK]}
    assert taken.outputs["choices"][0]["message"]["content"] == "The sea rose."
    assert (taken.attributes["sample"], taken.attributes["finish_reason"], taken.status.status_code.value) == (1, "stop", "OK")
    assert (refused.status.status_code.value, refused.status.description) == ("ERROR", "refusal: I cannot")
    assert refused.attributes["fault"] == "refusal: I cannot"
    assert plan.outputs is None
    assert (plan.end_time_ns - plan.start_time_ns) / 1e9 == pytest.approx(1.0)


@pytest.mark.integration
@pytest.mark.usefixtures("mlflow_home")
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError(), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        *(pytest.param(error, "KILLED", marks=pytest.mark.slow) for error in (asyncio.CancelledError(), SystemExit(143))),
    ],
)
def test_a_stage_that_is_broken_off_says_so(error: BaseException, status: str) -> None:
    def stage() -> None:
        with live_run("write", {}) as run:
            run.log({"words": 1})
            raise error

    with pytest.raises(type(error)):
        stage()
    assert eventually("write") == status


@pytest.mark.integration
@pytest.mark.usefixtures("mlflow_home")
def test_the_run_of_a_killed_stage_does_not_look_alive() -> None:
    script = (
        "import time\nfrom tasks.tracking import live\nlive.EVERY = 0.1\n"
        "with live.live_run('killed', {}) as run:\n run.log({'words': 1}); time.sleep(300)"
    )
    stage = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT)})
    while not found("killed"):
        assert stage.poll() is None
        time.sleep(0.2)
    below = psutil.Process(stage.pid).children(recursive=True)
    assert below
    stage.kill()
    stage.wait()
    assert not psutil.wait_procs(below, timeout=5)[1], "the recorder outlived its stage"
    assert eventually("killed") == "KILLED"


@pytest.mark.integration
@pytest.mark.usefixtures("mlflow_home")
def test_a_stage_killed_with_its_recorder_is_closed_by_the_next_run_of_the_stage() -> None:
    client = connect()
    tags = {"stage": "write", runs.KIND: "progress", PROCESS: f"{processes.place()}-999999999-1"}
    dead = client.create_run(experiment(client), tags=tags)
    other = client.create_run(experiment(client), tags=tags | {PROCESS: f"{processes.place()}-{processes.mark()}"})
    with live_run("write", {}) as run:
        run.log({"words": 1})
        while client.get_run(dead.info.run_id).info.status != "KILLED":
            time.sleep(0.2)
    assert client.get_run(other.info.run_id).info.status == "RUNNING"


def eventually(stage: str) -> str:
    """The status of the stage's run, once it has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (ended := found(stage)) and ended[0].info.status != "RUNNING":
            return str(ended[0].info.status)
        time.sleep(0.2)
    raise AssertionError(f"no ended run of {stage}")


@pytest.mark.usefixtures("mlflow_home")
def test_a_stage_that_is_over_at_once_costs_nothing_and_leaves_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    record_after(2.0, monkeypatch)
    with live_run("write", {}) as run:
        run.log({"words": 1})
    assert found() == []


@pytest.mark.integration
@pytest.mark.usefixtures("mlflow_home")
def test_a_short_stage_does_not_wait_for_a_run_that_is_written_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY", 10.0)
    long = "word " * 100_000  # more than a pipe holds
    start = time.monotonic()
    with live_run("write", {}) as run:
        time.sleep(0.1)
        run.trace("long", asked=long, answered=long, exchanges=EXCHANGES)
        run.log({"words": 7})
    assert time.monotonic() - start < live.EVERY, "the stage waits for nobody; the run is written behind it"
    assert eventually("write") == "FINISHED"
    assert found()[0].data.metrics == {"words": 7.0}


class Broken(BaseHTTPRequestHandler):
    def answer(self) -> None:
        self.send_response(500)
        self.end_headers()
        self.wfile.write(b"<html>out of order")

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that is dead, mute (accepts and never answers), or broken (answers with errors)."""
    if request.param == "broken":
        with HTTPServer(("127.0.0.1", 0), Broken) as broken:
            threading.Thread(target=broken.serve_forever, daemon=True).start()
            yield broken.server_port
            broken.shutdown()
    else:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            if request.param == "mute":
                listener.listen()
            yield listener.getsockname()[1]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("server", "reason", "patience"),
    [("dead", "refused", 30.0), pytest.param("broken", "500", 30.0, marks=pytest.mark.slow), ("mute", "did not answer for 3 s", 3.0)],
    indirect=["server"],
)
def test_a_server_that_gives_no_answer_costs_one_warning_without_its_password(
    server: int, reason: str, patience: float, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LONGWRITER_TRACKING_URI", f"http://someone:hunter2@127.0.0.1:{server}/")
    settings.cache_clear()
    monkeypatch.setattr(live, "PATIENCE", patience)
    start = time.monotonic()
    with live_run("write", {}) as run:
        for words in range(10):
            run.log({"words": words})
            time.sleep(0.05)
        run.trace("a sample", asked="Write.", answered="Done.", exchanges=EXCHANGES)
        assert time.monotonic() - start < 10, "ten answers of a mute server would take 30 s"
    said = capfd.readouterr()
    assert said.out == ""
    (warning,) = said.err.splitlines()
    assert warning.startswith("warning: write: progress is not recorded, the stage goes on: MLflow")
    assert reason in warning
    assert "hunter2" not in warning
    assert "://" not in warning
