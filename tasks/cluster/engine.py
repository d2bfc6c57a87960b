"""Join the Ray cluster of LONGWRITER_CLUSTER, at most once per process. Ray's dashboard and usage statistics are off."""

import logging
import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

from tasks.schema.errors import BadSettings, PipelineError
from tasks.schema.redaction import redact
from tasks.schema.settings import PREFIX, settings

LOCAL = "local"
CLIENT = "ray://"
VARIABLE = f"{PREFIX}CLUSTER"
PATIENCE = 10.0  # seconds for the cluster's host to accept a connection
STORE = 512 * 2**20  # bytes of shared memory of a local cluster's object store
TRIES = 3  # attempts at a part if its worker dies
TASKS = Path(__file__).parents[1]
R = TypeVar("R")


class WorkerDied(Exception):
    """The worker of a part, or its machine, died. The part can be tried again."""


class Engine(Protocol):
    """Starts functions on other machines. Their futures raise WorkerDied, or what the function raised."""

    def workers(self) -> int:
        """CPUs of all workers."""
        ...

    def submit(self, name: str, work: Callable[..., R], *arguments: object) -> "Future[R]":
        """Start `work(*arguments)`; a reference from `put` arrives as its value."""
        ...

    def put(self, value: object) -> object:
        """A reference to a value that many parts need. The value is sent to each machine once."""
        ...


def engine() -> Engine:
    """The cluster of the settings, the same for the whole process. Raises BadSettings, or PipelineError if it cannot be joined."""
    return _engine(settings().cluster)


def connect() -> None:
    """Join the cluster of the settings, if there is one, before any work begins. Raises as `engine`."""
    if settings().cluster:
        engine()


@cache
def _engine(address: str) -> Engine:
    _join(address)
    return _Ray()


def _join(address: str) -> None:
    """Join the cluster. A remote cluster's workers receive the package `tasks`, so that all run the same code."""
    if address != LOCAL:
        _reach(address)
    for name, value in _environment(address).items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise BadSettings(f"{VARIABLE} needs the extra `cluster`: pip install ray") from None
    where: dict[str, object] = {"address": address, "runtime_env": {"py_modules": [str(TASKS)]}}
    if address == LOCAL:
        where = {"address": address, "include_dashboard": False, "object_store_memory": STORE}
    try:
        ray.init(**where, logging_level=logging.ERROR, log_to_driver=True, configure_logging=True)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        problem = redact(" ".join(str(error).split()))[:300]
        raise PipelineError(f"cluster {address}: Ray cannot join it ({type(error).__name__}: {problem}); fix: check {VARIABLE}") from None


def _environment(address: str) -> dict[str, str]:
    """Variables that Ray reads at import: no usage statistics; token authentication for a local cluster or if a token exists."""
    token = address == LOCAL or "RAY_AUTH_TOKEN" in os.environ or (Path.home() / ".ray" / "auth_token").exists()
    return {"RAY_USAGE_STATS_ENABLED": "0"} | ({"RAY_AUTH_MODE": "token"} if token else {})


def _reach(address: str) -> None:
    """Check that the address accepts connections, because Ray would try for a minute and then end the process."""
    host, colon, port = address.removeprefix(CLIENT).rpartition(":")
    if not colon or not port.isdecimal():
        raise BadSettings(f"{VARIABLE}: not `{LOCAL}`, HOST:PORT or {CLIENT}HOST:PORT; fix: set one of these")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except OSError as error:
        problem = error.strerror or str(error)
        raise PipelineError(f"cluster {address}: cannot be reached ({problem}); fix: start it, or correct or unset {VARIABLE}") from None


class _Ray:
    """An Engine of plain Ray tasks. `parallel_map` retries them, Ray does not."""

    def workers(self) -> int:
        import ray

        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def submit(self, name: str, work: Callable[..., R], *arguments: object) -> "Future[R]":
        import ray

        reference = ray.remote(work).options(name=name, max_retries=0).remote(*arguments)
        return _as_future(reference.future())

    def put(self, value: object) -> object:
        import ray

        return ray.put(value)


def _as_future(future: "Future[R]") -> "Future[R]":
    """Convert Ray's future into one that raises the work's own error, or WorkerDied."""
    own: Future[R] = Future()

    def over(done: "Future[R]") -> None:
        if not own.set_running_or_notify_cancel():
            return
        if done.cancelled():
            own.set_exception(WorkerDied("cancelled"))
        elif error := done.exception():
            own.set_exception(_reason(error))
        else:
            own.set_result(done.result())

    future.add_done_callback(over)
    return own


def _reason(error: BaseException) -> BaseException:
    from ray.exceptions import RayError, RayTaskError

    if isinstance(error, RayTaskError):
        cause: BaseException = error.cause if isinstance(error.cause, BaseException) else error
        return cause
    return WorkerDied(redact(" ".join(str(error).split()))[:300]) if isinstance(error, RayError) else error
