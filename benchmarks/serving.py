"""Measure the time from a server's start to its first token, with a tiny checkpoint that model_server serves; `make bench`.

Servers are `transformers serve`, and vLLM if LONGWRITER_VLLM_PYTHON names an interpreter with it. "healthy" is the time until the health
check succeeds; "first token" is the latency of the first request, sent at once; "second" is that of the next request, on a warm server;
"in all" is the time from the start to the first token. All are seconds of one start. Most of the time is imports, so a second start, with
cached files, is faster than the first after a boot.
"""

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import aiohttp

from benchmarks.prefix_cache import make_checkpoint
from tasks.endpoints.server import Served, model_server
from tasks.rehearsal.roles import essay
from tasks.schema.settings import PREFIX, Settings, settings
from tasks.stage import one_line_errors

ASK = "Write a 200-word essay about bread."
TOKENS = 32  # max_tokens; more than one, because text appears only when a character is complete


class Start(NamedTuple):
    """Durations in seconds."""

    healthy: float
    first: float
    second: float


async def first_token(served: Served) -> float:
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


async def main() -> None:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
    own = settings()
    servers = {"transformers serve": own.model_copy(update={"server": "transformers"})}
    if own.vllm_python.is_file():
        longer = max(300.0, own.startup_timeout)  # on two cores vLLM takes one to two minutes
        servers["vLLM"] = own.model_copy(update={"server": "vllm", "startup_timeout": longer})
    with tempfile.TemporaryDirectory() as folder:
        make_checkpoint(Path(folder) / "tiny", [essay(ASK, seed=seed) for seed in range(10)])
        print(f"start-up of a served checkpoint of 3 layers, 128 wide, in seconds, on {os.cpu_count()} cores")
        print(f"{'server':24}{'healthy':>10}{'first token':>13}{'second':>10}{'in all':>10}", flush=True)
        for name, chosen in servers.items():
            start = await measure(Path(folder) / "tiny", chosen)
            print(f"{name:24}{start.healthy:10.1f}{start.first:13.2f}{start.second:10.2f}{start.healthy + start.first:10.1f}", flush=True)
    if "vLLM" not in servers:
        print(f"vLLM: not measured, {PREFIX}VLLM_PYTHON names no interpreter ({own.vllm_python})")


if __name__ == "__main__":
    with one_line_errors():
        asyncio.run(main())
