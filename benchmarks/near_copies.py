"""Measure the search for near-duplicates alone: ours, a MinHash index in memory (rensa), and datatrove's MinHash pipeline.

Part of `python -m benchmarks.collecting`, or alone with --datatrove PYTHON. All three read the same file of unique prompts, in one process,
with the same n-grams and as many bands of as many hashes. PYTHON is an interpreter with datatrove, which is no dependency of the project:
`python -m venv V && V/bin/pip install "datatrove[io,processing]" spacy "xxhash<4"`. Without it that row is left out. Ours and the index
compare the sets exactly; datatrove takes every pair that shares a band for duplicates, so it keeps fewer texts.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from benchmarks.processes import cpu_seconds
from tasks.corpus.duplicates import jaccard, shingled
from tasks.corpus.near_copies import SketchStore, shape, sketch
from tasks.rehearsal.wildchat import write_chats
from tasks.sources.adapters import raw_prompt_of

THRESHOLD = 0.8
AT_ONCE = 1_000  # texts that are sketched at once
# In datatrove's interpreter. Arguments: the texts, a folder, the words of an n-gram, bands, hashes of a band.
DATATROVE = """
import sys
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

texts, work, size, bands, rows = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
config = MinhashConfig(n_grams=size, num_buckets=bands, hashes_per_bucket=rows)
read = JsonlReader(texts, id_key="id")
steps = [
    ([read, MinhashDedupSignature(work + "/signatures", config=config)], 1),
    ([MinhashDedupBuckets(work + "/signatures", work + "/buckets", config=config)], bands),
    ([MinhashDedupCluster(work + "/buckets", work + "/removed", config=config)], 1),
    ([read, MinhashDedupFilter(work + "/removed"), JsonlWriter(work + "/kept", compression=None)], 1),
]
for number, (pipeline, tasks) in enumerate(steps):
    LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=f"{work}/log{number}").run()
"""

Way = Literal["ours", "index"]


def main(
    rows: int = 20_000,
    datatrove: Annotated[Path | None, typer.Option(help="an interpreter with datatrove", metavar="PYTHON")] = None,
    way: Annotated[str, typer.Option(hidden=True)] = "",
    texts: Annotated[Path, typer.Option(hidden=True)] = Path(),
) -> None:
    """Near-duplicates among unique prompts: CPU seconds and texts that are kept."""
    if way:
        print(len({"ours": ours, "index": index}[way](texts)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        chats, texts = Path(scratch) / "chats", Path(scratch) / "texts" / "texts.jsonl"
        write_chats(chats, rows, seed=1, files=1)
        texts.parent.mkdir()
        rows_of = list(_unique(chats))
        texts.write_text("".join(f"{json.dumps(row)}\n" for row in rows_of), encoding="utf-8")
        print(f"{'near-duplicates':24}{'texts':>9}{'CPU s':>9}{'kept':>9}")
        for name in ("ours", "index"):
            _show(name, len(rows_of), [sys.executable, "-m", "benchmarks.near_copies", "--way", name, "--texts", str(texts)])
        if datatrove:
            number, size = shape(THRESHOLD)
            words = [str(texts.parent), f"{scratch}/work", "3", str(number), str(size)]
            _show("datatrove", len(rows_of), [str(datatrove), "-c", DATATROVE, *words], kept=Path(scratch) / "work/kept")


def _show(name: str, count: int, command: list[str], kept: Path | None = None) -> None:
    before = cpu_seconds()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {name}: {done.stderr.strip().splitlines()[-1]}")
    left = sum(path.read_bytes().count(b"\n") for path in kept.iterdir()) if kept else int(done.stdout)
    print(f"{name:24}{count:9,}{cpu_seconds() - before:9.1f}{left:9,}", flush=True)


def _unique(chats: Path) -> Iterator[dict[str, str]]:
    import pyarrow.parquet as pq

    seen = set[str]()
    for path in sorted(chats.glob("*.parquet")):
        for row in pq.read_table(path, columns=["conversation", "toxic"]).to_pylist():
            prompt = raw_prompt_of(row, "wildchat")
            found = shingled(prompt.text, "en")
            if found.id not in seen:
                seen.add(found.id)
                yield {"id": found.id, "text": prompt.text}


def _shingles(texts: Path) -> list[frozenset[str]]:
    return [shingled(json.loads(line)["text"], "en").shingles for line in texts.read_text(encoding="utf-8").splitlines()]


def ours(texts: Path) -> list[int]:
    """The places of the texts that are near no earlier one."""
    shingles = _shingles(texts)
    sketches = SketchStore(None, threshold=THRESHOLD)
    for start in range(0, len(shingles), AT_ONCE):
        sketches.add(sketch(shingles[start : start + AT_ONCE], threshold=THRESHOLD))
    gone = {found.place for found in sketches.near(np.arange(len(shingles)))}
    return [place for place in range(len(shingles)) if place not in gone]


def index(texts: Path) -> list[int]:
    """The same by rensa's index in memory."""
    from rensa import RMinHash, RMinHashLSH

    number, rows = shape(THRESHOLD)
    buckets, shingles, kept = RMinHashLSH(THRESHOLD, number * rows, number), _shingles(texts), list[int]()
    for place, one in enumerate(shingles):
        found = RMinHash(number * rows, 1)
        found.update(list(one))
        if not any(jaccard(shingles[other], one) >= THRESHOLD for other in buckets.query(found)):
            buckets.insert(place, found)
            kept.append(place)
    return kept


if __name__ == "__main__":
    typer.run(main)
