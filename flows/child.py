"""Run a child process, pass on its output while it runs, and end it with all its descendants."""

import os
import re
import selectors
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from prefect import runtime

from tasks.processes import bound, end_all, family
from tasks.tracking import lineage

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
GRACE = 10.0  # seconds between SIGTERM and SIGKILL
LONGEST_LINE = 64 * 1024  # bytes; a longer line is passed on in pieces


class Output(NamedTuple):
    """A piece of a child's output: a complete line, or a state of a progress bar that the next piece redraws."""

    text: str
    is_bar: bool


def run(command: Sequence[str], see: Callable[[Output], None]) -> int:
    """Run a command, pass each piece of its output to `see`, and return its exit code. An exception ends the whole process tree."""
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | _flow_run(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=bound(),
    )
    with ended(process):
        for piece in pieces(process):
            see(piece)
        return process.wait()


def _flow_run() -> dict[str, str]:
    """Environment with the current flow run, under which MLflow nests the stages' runs (tasks/tracking/lineage.py)."""
    if not runtime.flow_run.id:
        return {}
    return {lineage.FLOW_RUN: str(runtime.flow_run.id), lineage.FLOW_NAME: f"{runtime.flow_run.flow_name} {runtime.flow_run.name}"}


@contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """End the process, its descendants and its session when the block ends: SIGTERM, then SIGKILL after GRACE seconds."""
    try:
        yield
    finally:
        end_all(family(process.pid), grace=GRACE)
        process.wait()
        if process.stdout:
            process.stdout.close()


def pieces(process: "subprocess.Popen[bytes]") -> Iterator[Output]:
    """The process's output until it has ended and its pipe is empty. A remaining child that keeps the pipe open is not waited for."""
    assert process.stdout
    rest = bar = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(timeout=0.5):
                if process.poll() is not None:
                    break
                continue
            if not (chunk := os.read(process.stdout.fileno(), 65536)):
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield from _lines(line, bar)
                bar = b""
            _, redrawn, newest = rest.rpartition(b"\r")
            if redrawn and newest and newest != bar:
                yield Output(_text(newest), is_bar=True)
                bar, rest = newest, b"\r" + newest
            if len(rest) > LONGEST_LINE:
                yield Output(_text(rest), is_bar=False)
                rest = bar = b""
    if rest.strip():
        yield from _lines(rest, bar)


def _lines(line: bytes, bar: bytes) -> Iterator[Output]:
    """The last state of a line. Text after an unfinished bar, such as a traceback's first line, becomes its own line."""
    last = line.rstrip(b"\r").rpartition(b"\r")[2]
    parts = [bar, last.removeprefix(bar)] if bar and last.startswith(bar) and last != bar else [last]
    for part in parts:
        yield Output(_text(part), is_bar=False)


def _text(raw: bytes) -> str:
    return ESCAPES.sub("", raw.decode("utf-8", errors="replace")).rstrip()
