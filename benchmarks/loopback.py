"""Run the rehearsal endpoint in a separate process, for benchmarks that compare a run with the endpoint's lower bound."""

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
    """Start the endpoint for the block; yields its base URL. `switches` are name=value, as in tasks.rehearsal.endpoint.Switches."""
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
    """The endpoint's counters: `answered` requests, and `busy_s`, the total seconds of all slots."""
    with urllib.request.urlopen(url.replace("/v1", "/health")) as response:
        found: dict[str, Any] = json.load(response)
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
