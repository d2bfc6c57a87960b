"""A server of the pipeline's own for a checkpoint folder: started, awaited, and stopped whole, by one owner.

`transformers serve` carries a small model on a CPU or one GPU; vLLM, from an environment of its own, carries real ones. Both
speak the OpenAI API on a free loopback port, write to a log under settings.home, and end with whoever started them: by
the owner's hand when its block ends, however it ends, and by the kernel's when the owner is killed.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import aiohttp
import psutil

from tasks import store
from tasks.schema.errors import BadInput, BadSettings, ServerError
from tasks.schema.settings import PREFIX, Settings
from tasks.stage import die_with_parent

HOST = "127.0.0.1"
DRAIN = 2  # seconds that vLLM gives the requests under way when it is told to end
GRACE = 6.0  # seconds that a server may take over its end before it is killed; less than flows/child.py gives the stage itself
LAST = 1.0  # seconds that what it left running may take
TAIL = 4000  # bytes of the log that an error looks at

# Continuous batching takes 6.8 GB on a CPU if its cache is not bounded. Bounded like this it stays under 0.6 GB with a 3-layer,
# 128-wide model and writes 840 to 1,280 tokens/s on 2 busy cores, against 560 to 660 one request at a time. A request that finds
# no room waits. Answers are the same whatever the bound.
BLOCK = 256  # tokens
CONTEXTS = 4  # room for that many sequences of full length
BATCH_TOKENS = 256


class Command(NamedTuple):
    """How a server is started."""

    words: list[str]
    environment: Mapping[str, str]


@asynccontextmanager
async def model_server(checkpoint: Path, settings: Settings, *, port: int = 0) -> AsyncIterator[str]:
    """Serve a checkpoint folder for the block; yields the base URL, which ends in /v1. The model's name is the folder's path.

    `port` 0 takes any free one. Raises ServerError when the port is in use, or when the server dies or does not answer
    within settings.startup_timeout, with the end of its log; BadSettings when there is no vLLM where settings say.
    """
    port = _free_port(port)
    command = _command(checkpoint, settings, port)
    log = settings.home.absolute() / "logs" / f"serve-{checkpoint.name}-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="serve-") as sockets:
        process = _start(command, log, {"VLLM_RPC_BASE_PATH": sockets})  # vLLM leaves seven of them lying about each time
        try:
            await _until_healthy(process, f"http://{HOST}:{port}/health", log, timeout=settings.startup_timeout)
            yield f"http://{HOST}:{port}/v1"
        finally:
            stop(process)


def _start(command: Command, log: Path, more: Mapping[str, str]) -> psutil.Popen:
    with log.open("wb") as sink:
        return psutil.Popen(
            command.words,
            env={**os.environ, **command.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal reaches the owner alone, which then stops the server
            preexec_fn=die_with_parent,
        )


def _command(checkpoint: Path, settings: Settings, port: int) -> Command:
    return _vllm(checkpoint, settings, port) if settings.server == "vllm" else _transformers(checkpoint, settings, port)


def _transformers(checkpoint: Path, settings: Settings, port: int) -> Command:
    cache = settings.home.absolute() / "hub"
    cache.mkdir(parents=True, exist_ok=True)  # /v1/models answers 500 if it is not there
    words = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(checkpoint), "--host", HOST, "--port", str(port)]
    blocks = CONTEXTS * -(-_context(checkpoint) // BLOCK)
    batching = ["--continuous-batching", "--cb-num-blocks", str(blocks), "--cb-max-batch-tokens", str(BATCH_TOKENS)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_UPDATE_CHECK": "1", "TQDM_DISABLE": "1"}
    return Command([*words, *batching], {**offline, **_threads(settings)})


def _context(checkpoint: Path) -> int:
    """The longest sequence of a checkpoint, in tokens. Raises BadInput if its config.json does not say."""
    path = checkpoint / "config.json"
    context = store.read_json(path).get("max_position_embeddings")
    if not isinstance(context, int) or context <= 0:
        raise BadInput(path, "not a positive number", field="max_position_embeddings", mend="give a causal language model's folder")
    return context


def _vllm(checkpoint: Path, settings: Settings, port: int) -> Command:
    """The checkpoint's own generation settings are left aside: sampling is what the request says. Reports cached tokens.

    What is in the environment reaches it: VLLM_CPU_KVCACHE_SPACE, CUDA_VISIBLE_DEVICES. Not a key, which our client does not have,
    and not the folders of this checkout, whose `mlflow` would pass for an installed package.
    """
    if not settings.vllm_python.is_file():
        raise BadSettings(
            f"{PREFIX}VLLM_PYTHON: no interpreter at {settings.vllm_python}; make the serve environment (requirements/serve.txt)"
        )
    words = [str(settings.vllm_python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint)]
    where = ["--host", HOST, "--port", str(port), "--served-model-name", str(checkpoint)]
    how = ["--generation-config", "vllm", "--enable-prompt-tokens-details", "--shutdown-timeout", str(DRAIN)]
    offline = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    return Command([*words, *where, *how], {**offline, "VLLM_API_KEY": "", "PYTHONSAFEPATH": "1", "PYTHONPATH": ""})


def _threads(settings: Settings) -> dict[str, str]:
    """Waiting threads that spin are ruinous where other processes share the cores."""
    return {"OMP_NUM_THREADS": str(settings.threads), "OMP_WAIT_POLICY": "PASSIVE"}


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServerError(f"model server: port {port} on {HOST} is in use ({error.strerror}); name another port") from None
        return int(probe.getsockname()[1])


async def _until_healthy(process: psutil.Popen, url: str, log: Path, *, timeout: float) -> None:
    """Returns once the server answers 200. Raises ServerError if it dies first, or the time is up."""
    deadline = time.monotonic() + timeout
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ServerError(f"model server: ended with code {process.returncode} before it answered; {_last_words(log)}")
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.2)
    raise ServerError(f"model server: no answer within {timeout:g} s; raise {PREFIX}STARTUP_TIMEOUT, or see why: {_last_words(log)}")


def _last_words(log: Path) -> str:
    """The end of a log on one line, and where the rest is."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f"last lines of {log}: {' | '.join(lines[-3:])[-600:]}" if lines else f"{log} is empty"


def stop(process: psutil.Popen) -> None:
    """End a process with all that it started. Blocks for GRACE and twice LAST seconds at most.

    The process alone gets SIGTERM and ends its own: a vLLM whose workers are signalled beside it leaves a segment of /dev/shm behind.
    What is left of the family then gets SIGTERM, and SIGKILL.
    """
    with suppress(psutil.NoSuchProcess):
        family = [*process.children(recursive=True), process]
        process.terminate()
        psutil.wait_procs([process], timeout=GRACE)
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    end(member)
            family = psutil.wait_procs(family, timeout=LAST)[1]
