"""Serves a checkpoint folder: starts the server, waits for it, checks its health, and stops it with all its processes.

`transformers serve` serves a small model on a CPU or one GPU; vLLM, from its own environment, serves real ones. Both offer the OpenAI API
on a free loopback port and log under settings.home. The server is stopped at the end of the block, also after an error. If the owning
process is killed, the kernel ends the server.

A server that dies or hangs is restarted on its port. Meanwhile its clients get no connection, and wait.
"""

import asyncio
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

import aiohttp
import psutil
from pydantic import SecretStr

from tasks import progress
from tasks.endpoints.launch import HOST, NO_VLLM, Launch, launch_of
from tasks.processes import bound, end_all, family
from tasks.schema.errors import BadSettings, PipelineError, ServerError
from tasks.schema.redaction import redact
from tasks.schema.settings import PREFIX, Settings
from tasks.store import private_folder

RESTARTS = 3  # per server, in total
POLL = 0.2  # seconds between checks that the process runs
LOOK = 10.0  # seconds between health checks, and timeout of a health check
HUNG = 12  # consecutive health checks without an answer
GRACE = 6.0  # seconds from SIGTERM to SIGKILL; less than flows/child.py gives the stage itself
LAST = 1.0  # seconds for processes that the server left running
TAIL = 4000  # bytes at the end of the log that an error quotes from
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_HEAD = re.compile(r"(\([^)]*\) )?[A-Z]+ [\d:. -]+(\[[^]]*\] )?")  # start of vLLM's log lines: process, level, date, file


class ServedCheckpoint(NamedTuple):
    """The address of a served checkpoint."""

    url: str  # ends in /v1
    api_key: SecretStr  # empty: the server requires none
    name: str  # the model's name in requests
    slots: int | None = None  # requests that it answers at once; None: as many as come


@asynccontextmanager
async def model_server(checkpoint: Path, settings: Settings, *, port: int = 0) -> AsyncIterator[ServedCheckpoint]:
    """Serves a checkpoint folder during the block. The model's name is the folder's path.

    `port` 0 takes any free port. Raises BadInput if the folder is no checkpoint; BadSettings without vLLM at VLLM_PYTHON; ServerError,
    with the end of the log, if the port is in use, if the server does not answer within settings.startup_timeout, or, inside the block, if
    it fails again after RESTARTS restarts.
    """
    private_folder(settings.home)
    port = _free_port(port)
    launch = launch_of(checkpoint, settings, port)
    log = settings.home.absolute() / "logs" / f"serve-{checkpoint.name}-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    failed = None
    with tempfile.TemporaryDirectory(prefix="serve-") as sockets:
        keeper = _Keeper(checkpoint.name, launch, log, f"http://{HOST}:{port}/health", sockets=sockets, settings=settings)
        try:
            async with asyncio.TaskGroup() as group:  # cancels the block when the keeper gives up
                keeping = group.create_task(keeper.keep())
                await keeper.up.wait()
                yield ServedCheckpoint(f"http://{HOST}:{port}/v1", launch.api_key, str(checkpoint), launch.slots)
                keeping.cancel()
        except BaseExceptionGroup as errors:
            failed = errors.exceptions[0]
    if failed:
        raise failed  # the error of the keeper or of the block, without its group


class _Keeper:
    """Runs the processes of one server, one at a time. `up` is set when the first process answers."""

    def __init__(self, name: str, launch: Launch, log: Path, health: str, *, sockets: str, settings: Settings):
        self.up = asyncio.Event()
        self._name, self._launch, self._log, self._health, self._settings = name, launch, log, health, settings
        self._more = {"VLLM_RPC_BASE_PATH": sockets}  # vLLM leaves seven sockets behind at each run

    async def keep(self) -> None:
        """Keeps a server running until cancelled. Raises ServerError or BadSettings if that is not possible."""
        for left in reversed(range(RESTARTS + 1)):
            # Start in the owner's thread: the server ends with the thread that forked it.
            process = _start(self._launch, self._log, self._more)
            try:
                await self._until_well(process)
                self.up.set()
                await self._while_well(process)
            except ServerError as error:
                if not self.up.is_set():
                    raise
                if not left:
                    raise ServerError(f"{error}; it had been started again {RESTARTS} times") from None
                progress.say(f"{error}; it is started again")
            finally:
                stop(process)

    async def _until_well(self, process: psutil.Popen) -> None:
        """Returns when the health check answers 200."""
        begun = time.monotonic()
        with progress.waiting(f"starting {self._name}") as line:
            while time.monotonic() - begun < self._settings.startup_timeout:
                if process.poll() is not None:
                    raise self._ended(process, "before it answered")
                if await self._answers():
                    return
                line.set_postfix_str("".join(_HEAD.sub("", said, count=1)[:50] for said in _lines(self._log)[-1:]), refresh=False)
                line.update()
                await asyncio.sleep(POLL)
        patience = f"{self._settings.startup_timeout:g} s; raise {PREFIX}STARTUP_TIMEOUT"
        raise ServerError(f"model server: no answer within {patience}; its log ends with: {_last_words(self._log)}")

    async def _while_well(self, process: psutil.Popen) -> NoReturn:
        unanswered, looked = 0, time.monotonic()
        while unanswered < HUNG:
            await asyncio.sleep(POLL)
            if process.poll() is not None:
                raise self._ended(process, "while it served")
            if time.monotonic() - looked >= LOOK:
                unanswered = 0 if await self._answers() else unanswered + 1
                looked = time.monotonic()
        raise ServerError(f"model server: not responding, {HUNG} health checks had no answer; {_last_words(self._log)}")

    async def _answers(self) -> bool:
        with suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LOOK)) as session,
                session.get(self._health) as response,
            ):
                return response.status == 200
        return False

    def _ended(self, process: psutil.Popen, when: str) -> PipelineError:
        if any(NO_VLLM in line for line in _lines(self._log)[-3:]):
            python = self._settings.vllm_python
            return BadSettings(f"{PREFIX}VLLM_PYTHON: {python} has no vllm; fix: python -m infra.serve_env")
        return ServerError(f"model server: ended with code {process.returncode} {when}; {_last_words(self._log)}")


def _start(launch: Launch, log: Path, more: Mapping[str, str]) -> psutil.Popen:
    with log.open("ab") as sink:
        return psutil.Popen(
            launch.words,
            env={**launch.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal reaches only the owner, which then stops the server
            preexec_fn=bound(),
        )


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServerError(f"model server: port {port} on {HOST} is in use ({error.strerror}); name another port") from None
        return int(probe.getsockname()[1])


def _lines(log: Path) -> list[str]:
    """The end of a log without blank lines and colour codes."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        text = redact(_ESCAPES.sub("", file.read().decode("utf-8", "replace")))
    return [line.strip() for line in text.splitlines() if line.strip()]


def _last_words(log: Path) -> str:
    """The end of a log on one line, with the log's path."""
    lines = _lines(log)
    return f"last lines of {log}: {' | '.join(lines[-3:])[-600:]}" if lines else f"{log} is empty"


def stop(process: psutil.Popen) -> None:
    """Ends a process and all processes that it started. Blocks for at most GRACE plus twice LAST seconds.

    The process alone gets SIGTERM first and ends its own workers: if the workers are signalled too, vLLM leaves a segment in /dev/shm.
    Processes that remain get SIGTERM, then SIGKILL.
    """
    members = family(process.pid)
    with suppress(psutil.NoSuchProcess):
        process.terminate()
        psutil.wait_procs([process], timeout=GRACE)
    end_all(members, grace=LAST)
