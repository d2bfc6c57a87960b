"""Measure the time from a server's start to its first token, with a tiny checkpoint that model_server serves; `make bench`.

Servers are `transformers serve`, and vLLM if LONGWRITER_VLLM_PYTHON names an interpreter with it. "healthy" is the time until the health
check succeeds; "first token" is the latency of the first request, sent at once; "second" is that of the next request, on a warm server;
"in all" is the time from the start to the first token. All are seconds of one start. Most of the time is imports, so a second start, with
cached files, is faster than the first after a boot.

`python -m benchmarks.serving --model smollm2` measures how fast a real model is served instead: tokens per second with 1, 8 and 32 requests
at once, the time to start and the memory of the server's processes, for each server that is installed. `--model` is what base.model can be.
"""

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import aiohttp
import psutil
import typer

from benchmarks.prefix_cache import make_checkpoint
from tasks.endpoints.llamacpp import is_installed
from tasks.endpoints.server import ServedCheckpoint, model_server
from tasks.models.local import local_folder
from tasks.rehearsal.roles import essay
from tasks.schema.settings import PREFIX, Settings, settings
from tasks.stage import one_line_errors

ASK = "Write a 200-word essay about bread."
STREAMS = (1, 8, 32)  # requests at once
PIECE = 128  # max_tokens of each request whose rate is measured
PATIENCE = 1_800.0  # seconds
TOKENS = 32  # max_tokens; more than one, because text appears only when a character is complete


class Start(NamedTuple):
    """Durations in seconds."""

    healthy: float
    first: float
    second: float


async def first_token(served: ServedCheckpoint) -> float:
    """Seconds from the request to the first text in its stream."""
    body = {"model": served.name, "messages": [{"role": "user", "content": ASK}], "max_tokens": TOKENS, "temperature": 1.0, "stream": True}
    key = served.api_key.get_secret_value()
    start = time.perf_counter()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"} if key else {}) as session,
        session.post(f"{served.url}/chat/completions", json=body) as response,
    ):
        response.raise_for_status()
        async for line in response.content:
            if line.startswith(b"data: {") and _text(json.loads(line[6:])):
                return time.perf_counter() - start
    raise RuntimeError("the stream ended without a text")


def _text(chunk: dict[str, list[dict[str, dict[str, str]]]]) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])


async def measure(checkpoint: Path, own: Settings) -> Start:
    start = time.perf_counter()
    async with model_server(checkpoint, own) as served:
        healthy = time.perf_counter() - start
        return Start(healthy, await first_token(served), await first_token(served))


class Rate(NamedTuple):
    """Completion tokens per second over all requests, with so many at once."""

    streams: int
    tokens_per_second: float


async def rates(checkpoint: Path, own: Settings, *, seconds: float) -> tuple[float, float, list[Rate]]:
    """Seconds until the server is healthy, GiB of its processes after the requests, and its rates; each is measured for `seconds`."""
    start = time.perf_counter()
    async with model_server(checkpoint, own) as served:
        healthy = time.perf_counter() - start
        found = [Rate(streams, await rate(served, streams=streams, seconds=seconds)) for streams in STREAMS]
        children = psutil.Process().children(recursive=True)
        return healthy, sum(child.memory_info().rss for child in children) / 2**30, found


async def rate(served: ServedCheckpoint, *, streams: int, seconds: float) -> float:
    """Tokens per second with `streams` requests at once. Requests that are sent within `seconds` are waited for."""
    key = served.api_key.get_secret_value()
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    begun, tokens = time.perf_counter(), 0
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=timeout) as session:

        async def stream(number: int) -> None:
            nonlocal tokens
            turn = 0
            while time.perf_counter() - begun < seconds:
                ask = f"Write a story of 300 words about the number {1000 * number + turn}."
                body = {"model": served.name, "messages": [{"role": "user", "content": ask}], "max_tokens": PIECE, "temperature": 0.7}
                async with session.post(f"{served.url}/chat/completions", json=body) as response:
                    response.raise_for_status()
                    tokens += (await response.json())["usage"]["completion_tokens"]
                turn += 1

        await asyncio.gather(*map(stream, range(streams)))
    return tokens / (time.perf_counter() - begun)


def installed(own: Settings) -> dict[str, Settings]:
    """The servers of this machine, each with the settings that choose it."""
    longer = max(300.0, own.startup_timeout)  # on two cores vLLM takes one to two minutes
    servers = {"transformers serve": own.model_copy(update={"server": "transformers", "startup_timeout": longer})}
    if is_installed():
        servers["llama.cpp"] = own.model_copy(update={"server": "llamacpp", "startup_timeout": longer})
    if own.vllm_python.is_file():
        servers["vLLM"] = own.model_copy(update={"server": "vllm", "startup_timeout": longer})
    return servers


async def measure_rates(model: str, *, seconds: float) -> None:
    checkpoint = Path(local_folder(model))
    print(f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; tokens per second by requests at once, {seconds:g} s each")
    print(f"{'server':24}{'healthy s':>10}{'GiB':>8}" + "".join(f"{streams:>8}" for streams in STREAMS), flush=True)
    for name, own in installed(settings()).items():
        healthy, memory, found = await rates(checkpoint, own, seconds=seconds)
        print(f"{name:24}{healthy:10.1f}{memory:8.2f}" + "".join(f"{one.tokens_per_second:8.1f}" for one in found), flush=True)


async def main() -> None:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
    own = settings()
    servers = {name: chosen for name, chosen in installed(own).items() if name != "llama.cpp"}  # which has no tiny student's tokenizer
    with tempfile.TemporaryDirectory() as folder:
        make_checkpoint(Path(folder) / "tiny", [essay(ASK, seed=seed) for seed in range(10)])
        print(f"start-up of a served checkpoint of 3 layers, 128 wide, in seconds, on {os.cpu_count()} cores")
        print(f"{'server':24}{'healthy':>10}{'first token':>13}{'second':>10}{'in all':>10}", flush=True)
        for name, chosen in servers.items():
            start = await measure(Path(folder) / "tiny", chosen)
            print(f"{name:24}{start.healthy:10.1f}{start.first:13.2f}{start.second:10.2f}{start.healthy + start.first:10.1f}", flush=True)
    if "vLLM" not in servers:
        print(f"vLLM: not measured, {PREFIX}VLLM_PYTHON names no interpreter ({own.vllm_python})")


def command(
    model: Annotated[str, typer.Option(help="measure how fast this model is served: smollm2, a GGUF file or a folder")] = "",
    seconds: Annotated[float, typer.Option(help="of each rate")] = 60.0,
) -> None:
    """How fast servers start, or how fast they serve a model."""
    with one_line_errors():
        asyncio.run(measure_rates(model, seconds=seconds) if model else main())


if __name__ == "__main__":
    typer.run(command)
