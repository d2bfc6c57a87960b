"""Measure how quickly `longwriter read` opens 100,000 answers, and how much memory it takes; `make bench`.

The answers have about 400 words each, as JSON Lines of 260 MB and as Parquet. "open" is the time from the start of the command to a page
with its rows, Python's start and imports included; "counted" is when all rows are listed, "filters" when their facts are known, "search"
when every word is indexed. Goal: open in under 2 s. Options: `python -m benchmarks.reading ROWS`.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import orjson
import psutil
import typer

from benchmarks.processes import most_memory
from tasks.corpus.dataset import write_dataset
from tasks.rehearsal.prose import paragraph
from tasks.schema.records import Message, Sample

ROWS, WORDS, GOAL = 100_000, 50, 2.0  # rows; words of a paragraph; seconds
PARAGRAPHS = 8  # of an answer


class Opened(NamedTuple):
    """Seconds since the start of the command, and the peak of memory in MB."""

    page: float
    cpu: float  # of the process at that time: it does not depend on what else runs
    counted: float
    filters: float
    search: float
    memory: float


def main(rows: Annotated[int, typer.Argument(min=1, help="answers in each file")] = ROWS) -> None:
    """Measure how quickly the reader opens many answers."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lines, dataset = folder / "answers.jsonl", folder / "dataset"
        _write_lines(lines, rows)
        write_dataset(dataset, _samples(rows))
        for name, path in (("JSON Lines", lines), ("Parquet", dataset)):
            size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.glob("*.parquet"))) / 1e6
            for time_of in ("first", "again"):
                found = opened(path, folder / f"home-{path.name}", rows)
                print(f"reading {rows:,} rows, {name} ({size:.0f} MB), {time_of}: {_said(found)}", flush=True)


def _said(found: Opened) -> str:
    opening = f"open {found.page:.2f} s (goal {GOAL:g} s; CPU {found.cpu:.2f} s), counted {found.counted:.2f} s"
    return f"{opening}, filters {found.filters:.1f} s, search {found.search:.1f} s, memory {found.memory:.0f} MB"


def opened(path: Path, home: Path, rows: int) -> Opened:
    """Start the command on a path and follow it until its index is complete."""
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "LONGWRITER_HOME": str(home)}
    began = time.monotonic()
    command = [sys.executable, "-m", "flows.cli", "read", str(path), "--no-open"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        try:
            assert b"<li>" in _get(url)
            page, counted, filters = time.monotonic() - began, 0.0, 0.0
            cpu = sum(psutil.Process(process.pid).cpu_times()[:2])
            while not (state := json.loads(_get(f"{url}state")))["complete"]:
                assert not state["problem"], state
                now = time.monotonic() - began
                counted = counted or (now if state["total"] == rows else 0.0)
                filters = filters or (now if state["step"] == "words" else 0.0)
                time.sleep(0.05)
            search = time.monotonic() - began
            memory = most_memory(process.pid) / 1e6
        finally:
            process.terminate()
    return Opened(page, cpu, counted or search, filters or search, search, memory)


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return bytes(answer.read())


def _texts(rows: int) -> Iterator[str]:
    """Answers of `PARAGRAPHS` paragraphs, put together from 500 different ones."""
    drawn = random.Random(7)
    known = [paragraph(topic=f"place {n}", language="en", words=WORDS, part=1, parts=1, seed=n) for n in range(500)]
    yield from ("\n\n".join(drawn.choices(known, k=PARAGRAPHS)) for _ in range(rows))


def _write_lines(path: Path, rows: int) -> None:
    with path.open("wb") as file:
        for number, text in enumerate(_texts(rows)):
            item: dict[str, Any] = {"id": f"b{number // 2}", "prompt": f"Write 400 words about place {number // 2}.", "type": "News"}
            item |= {"length": 400, "language": "en"}
            row = {"item": item, "model": ("student", "control")[number % 2], "sample": 0, "response": text, "finish_reason": "stop"}
            file.write(orjson.dumps({**row, "tokens": 500, "seconds": 1.0}) + b"\n")


def _samples(rows: int) -> Iterator[Sample]:
    for number, text in enumerate(_texts(rows)):
        messages = (Message(role="user", content=f"Write 400 words about place {number}."), Message(role="assistant", content=text))
        yield Sample(
            id=str(number), messages=messages, language="en", asked_words=400, written_words=400, paragraphs=PARAGRAPHS, source="pool:1"
        )


if __name__ == "__main__":
    typer.run(main)
