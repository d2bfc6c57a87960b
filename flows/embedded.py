"""Run Prefect's API for the time of one run: on loopback, with SQLite under settings().home. Used if PREFECT_API_URL is not set.

Prefect's own temporary server survives a kill -9 of the flow and prints its shutdown to the terminal. This server is the same
application, but ends with the flow and logs to a file.
"""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tasks  # noqa: F401  telemetry off, before Prefect is imported
from tasks import databases
from tasks.processes import bound
from tasks.schema.errors import BadSettings, ServerError
from tasks.schema.settings import settings
from tasks.stage import fail
from tasks.store import private_file, private_folder

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LOSES = "the history of runs in Prefect, and no data"
LOOK = 0.5  # seconds between checks whether the server runs
DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # the default is pickle
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_WRAP_LINES": "false",
}


def defaults() -> None:
    """Set Prefect's environment for a flow without a server. Call it before Prefect is imported."""
    if "prefect" in sys.modules or os.environ.get("PREFECT_API_URL"):
        return
    try:
        home = settings().home.resolve()
    except BadSettings as error:
        fail(str(error), code=error.exit_code)
    for name, value in {**DEFAULTS, "PREFECT_HOME": str(home / "prefect")}.items():
        os.environ.setdefault(name, value)
    _no_proxy_for_loopback()
    private_folder(home)  # Prefect makes its own folder, but no parents


def _no_proxy_for_loopback() -> None:
    """Exclude this machine's servers from the environment's proxy, so that Prefect's client reaches its server directly."""
    for name in ("NO_PROXY", "no_proxy"):
        named = [host for host in os.environ.get(name, "").split(",") if host.strip()]
        os.environ[name] = ",".join(dict.fromkeys([*named, *LOOPBACK]))


@contextmanager
def server() -> Iterator[None]:
    """Provide the API that the flow reports to: PREFECT_API_URL if it is set, else a temporary server on loopback.

    Raises ServerError if the temporary server does not answer in time; BadInput or WorkspaceBusy if its database is damaged or locked.
    """
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings

    if PREFECT_API_URL.value():
        yield
        return
    log = settings().home.resolve() / "prefect" / "server.log"
    private_folder(settings().home)
    private_folder(log.parent)
    for database in log.parent.glob("prefect.db*"):
        private_file(database)
    check_database(log.with_name("prefect.db"))
    with log.open("wb") as output:
        port = _free_port()
        process = _start(port, output.fileno())
    url = f"http://127.0.0.1:{port}/api"
    over = threading.Event()
    try:
        _wait(process, url, seconds=float(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()), log=log)
        threading.Thread(target=_watch, args=(process, log, over), name="prefect's server", daemon=True).start()
        with temporary_settings(updates={PREFECT_API_URL: url}):
            close_killed_runs()
            try:
                yield
            finally:
                _drain()
    finally:
        over.set()
        _stop(process)


def check_database(path: Path) -> None:
    """Raises BadInput if Prefect's database is damaged, WorkspaceBusy if it is locked."""
    databases.check(path, holds="Prefect's record of runs", loses=LOSES)


def _watch(process: "subprocess.Popen[bytes]", log: Path, over: threading.Event) -> None:
    """End this process with one line if the server dies.

    Prefect's client would retry for minutes, in the flow and again at its end. Child processes end too; paid replies are in the journal.
    """
    while not over.wait(LOOK):
        if process.poll() is not None and not over.is_set():
            sys.stdout.flush()
            problem = f"Prefect's embedded API ended with exit code {process.returncode} while the run was on; see {log}"
            print(f"error: {problem}; fix: run again, what is done is kept", file=sys.stderr, flush=True)
            os._exit(ServerError.exit_code)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(port: int, output: int) -> "subprocess.Popen[bytes]":
    options = ["--factory", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"]
    return subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "prefect.server.api.server:create_app", *options],
        env=os.environ | {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,  # Ctrl-C only reaches the flow; the server ends after the flow has reported
        preexec_fn=_for_its_owner(),
    )


def _for_its_owner() -> Callable[[], None]:
    """A `preexec_fn` for the server: only the owner can read its database, and the server ends with the flow."""
    end_with_flow = bound()

    def before_exec() -> None:
        os.umask(0o077)
        end_with_flow()

    return before_exec


def _wait(process: "subprocess.Popen[bytes]", url: str, *, seconds: float, log: Path) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServerError(f"Prefect's API ended with exit code {process.returncode} before it answered; see {log}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    raise ServerError(f"Prefect's API did not answer within {seconds:.0f} s; see {log}, or set PREFECT_API_URL to a running server")


def close_killed_runs() -> None:
    """Mark runs that a kill -9 left `Running` as `Crashed`. Call it only with the workspace's lock, so that no other run is alive."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=running):
            client.set_flow_run_state(run.id, Crashed(message="its process was gone when the next run began"), force=True)


def _drain() -> None:
    """Send the events and logs that Prefect's client has queued. Otherwise a process that ends right after a flow loses them."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=5)
    APILogWorker.drain_all(timeout=5)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
