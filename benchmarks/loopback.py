"""The rehearsal endpoint as a process of its own, for benchmarks that hold a run against the least time that it allows."""

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def endpoint(*switches: str) -> Iterator[str]:
    """Its base URL, for as long as the block lasts; `switches` are name=value, as in rehearsal.Switches."""
    port = free_port()
    given = [word for switch in switches for word in ("--switch", switch)]
    server = [sys.executable, "-m", "tasks.rehearsal.endpoint", "--port", str(port), *given]
    process = subprocess.Popen(server, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        process.stdout.readline()
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def health(url: str) -> dict[str, Any]:
    """What it has served: `answered`, and `busy_s`, the seconds of all slots."""
    with urllib.request.urlopen(url.replace("/v1", "/health")) as response:
        found: dict[str, Any] = json.load(response)
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
