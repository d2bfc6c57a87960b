"""Measure collect's rule filters and near-duplicate search on a million WildChat-shaped rows, and the parser of length requests.

Run by `make bench`. The peer is a pipeline of `datasets` over the same files with as many processes: the same filter functions in
`Dataset.map`, results in its Arrow cache, sorted by id (so that the order of the rows does not matter), and near-duplicates by rensa's
LSH index in memory, with as many bands and the same exact check. Both keep the same rows, except for one near-duplicate in 100,000 that a
band misses. The peer runs on a share of the rows; ours runs on the same share for the ratio. Memory is the whole process tree's, with
shared pages counted once. "Wide" rows have replies of 3,000 words.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import psutil
import typer

from benchmarks import near_copies
from benchmarks.processes import cpu_seconds
from tasks.cluster.engine import connect
from tasks.rehearsal.wildchat import write_chats
from tasks.schema.params import Collect, Source, load
from tasks.text.length_requests import parse_length_request

DATA = Path(__file__).parents[2] / "shared" / "data"
LABELS = Path(__file__).with_name("writingbench_lengths.jsonl")  # 120 of 222 prompts, drawn at random, labelled by hand
PEER_SHARE, WIDE_ROWS, WIDE_REPLY = 10, 20_000, 3_000
NEAR_ROWS = 20_000  # of the comparison of near-duplicates alone


def main(
    rows: int = 1_000_000,
    work: Annotated[str, typer.Option(hidden=True, help="ours or peer: in a process of its own, so that its memory can be told")] = "",
    folder: Annotated[Path, typer.Option(hidden=True)] = Path(),
    ratios: Annotated[bool, typer.Option("--ratios", help="measure a tenth of the rows, and no more")] = False,
    datatrove: Annotated[Path | None, typer.Option(help="an interpreter with datatrove, for the near-duplicates alone")] = None,
) -> None:
    """The filters and the near-duplicate search of collect, beside `datasets`."""
    if work:
        {"ours": ours, "peer": peer}[work](folder)
        return
    length_requests()
    near_copies.main(min(rows, NEAR_ROWS), datatrove)
    with tempfile.TemporaryDirectory() as scratch:
        print(f"\n{'rows sifted':34}{'rows':>10}{'wall s':>9}{'CPU s':>8}{'rows/s':>9}{'left':>9}{'MiB':>7}", flush=True)
        share, full, wide = (Path(scratch) / name for name in ("share", "full", "wide"))
        write_chats(share, rows // PEER_SHARE, seed=1, files=2)
        mine, theirs = measured("ours", share), measured("peer", share, label="datasets, the same filters")
        print(
            f"ours to datasets: {theirs.wall / mine.wall:.2f} x the rows a second, {theirs.cpu / mine.cpu:.2f} x the rows a CPU second",
            flush=True,
        )
        spread = measured("ours", share, label="ours, two workers of a Ray cluster", LONGWRITER_CLUSTER="local")
        print(f"Ray to processes: {mine.wall / spread.wall:.2f} x the rows a second", flush=True)
        alone = measured("ours", share, label="ours, one process", LONGWRITER_SIFTERS="1")
        print(f"two processes to one: {alone.wall / mine.wall:.2f} x the rows a second; Ray: {alone.wall / spread.wall:.2f} x", flush=True)
        if ratios:
            return
        write_chats(wide, min(WIDE_ROWS, rows), seed=3, files=1, reply=WIDE_REPLY)
        measured("ours", wide, label="ours, wide conversations")
        write_chats(full, rows, seed=2, files=8)
        measured("ours", full)


def length_requests() -> None:
    if not DATA.exists():
        print("length requests: skipped, needs ../shared/data")
        return
    print(f"{'length requests, reader against labels':44}{'prompts':>8}{'right':>8}")
    for name in ("longbench_write", "longbench_write_en", "longwrite_ruler"):
        rows = _rows(DATA / "longbench_write" / f"{name}.jsonl")
        right = sum(parse_length_request(row["prompt"]).target == row["length"] for row in rows)
        print(f"{name + ', target':44}{len(rows):8}{right / len(rows):8.1%}")
    labels = {row["index"]: row for row in _rows(LABELS)}
    read = {row["index"]: parse_length_request(row["query"]) for row in _rows(DATA / "instructions" / "writingbench_length.jsonl")}
    bounds = sum((read[at].low, read[at].high) == (label["low"], label["high"]) for at, label in labels.items())
    kinds = sum(read[at].kind == label["kind"] for at, label in labels.items())
    print(f"{'WritingBench, both bounds':44}{len(labels):8}{bounds / len(labels):8.1%}")
    print(f"{'WritingBench, kind':44}{len(labels):8}{kinds / len(labels):8.1%}")


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Cost(NamedTuple):
    wall: float  # seconds
    cpu: float  # seconds of all processes, which other load on the machine hardly changes


def measured(work: str, folder: Path, *, label: str = "ours", **environment: str) -> Cost:
    """Run the work in a child process and return the cost that it reports, without the start of Python, imports and cluster."""
    command = [sys.executable, "-m", "benchmarks.collecting", "--work", work, "--folder", str(folder)]
    own = os.environ | environment
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        most = 0
        while process.poll() is None:
            most = max(most, memory(process.pid))
            time.sleep(0.2)
        assert process.stdout
        said = json.loads(process.stdout.read().splitlines()[-1])
    shown = f"{said['rows']:10,}{said['seconds']:9.1f}{said['cpu']:8.1f}{said['rows'] / said['seconds']:9,.0f}{said['left']:9,}"
    print(f"{label:34}{shown}{most / 2**20:7,.0f}", flush=True)
    return Cost(said["seconds"], said["cpu"])


def memory(pid: int) -> int:
    """Bytes of a process and its descendants (PSS), so that shared pages count once."""
    total = 0
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for process in tree:
            total += process.memory_full_info().pss
    except psutil.Error:
        pass
    return total


def rules() -> tuple[Collect, list[str]]:
    """(the paper profile's collect params, the prompts of LongBench-Write and the ruler if ../shared/data has them)."""
    collect = load(Path("profiles/llama-3.1-8b.yaml")).collect.model_copy(update={"decontaminate": []})
    scored = [DATA / "longbench_write" / f"{name}.jsonl" for name in ("longbench_write", "longwrite_ruler")]
    return collect, [row["prompt"] for path in scored if path.exists() for row in _rows(path)]


def ours(folder: Path) -> None:
    from tasks.corpus.contamination import BenchmarkIndex
    from tasks.filtering.candidates import Candidates
    from tasks.filtering.copies import equal, near
    from tasks.filtering.pool import Rejects, fill
    from tasks.filtering.sift import Rules

    collect, prompts = rules()
    entry = Source(name="wildchat", files=["*.parquet"], format="parquet", adapter="wildchat", revision="", licence="CC0-1.0")
    collect = collect.model_copy(update={"sources": [entry]})

    def work() -> tuple[int, int]:
        with (
            tempfile.TemporaryDirectory() as scratch,
            Candidates(Path(scratch), threshold=collect.near_duplicate) as pool,
            Rejects(Path(scratch) / "rejects.jsonl") as rejects,
        ):
            facts = fill(pool, rejects, folder, Rules(collect, BenchmarkIndex(prompts)))
            places = equal(pool, lambda place, first: None)
            left = near(pool, places, lambda place, other, similarity: None)
            return facts["rows"], sum(1 for _ in left)

    connect()
    report(work)


def peer(folder: Path) -> None:
    import datasets

    from tasks.corpus.contamination import BenchmarkIndex
    from tasks.filtering.sift import Rules

    datasets.disable_progress_bars()
    collect, prompts = rules()
    given = Rules(collect, BenchmarkIndex(prompts))

    def work() -> tuple[int, int]:
        with tempfile.TemporaryDirectory() as cache:
            paths = [str(path) for path in sorted(folder.glob("*.parquet"))]
            chats = datasets.load_dataset("parquet", data_files=paths, split="train", cache_dir=cache, columns=["conversation", "toxic"])
            where = {"num_proc": os.cpu_count(), "fn_kwargs": {"rules": given}, "remove_columns": chats.column_names}
            fit = chats.map(peer_map, **where).filter(lambda text: text is not None, input_columns="text", num_proc=os.cpu_count())
            return len(chats), _without_copies(fit.sort(["id", "rank"]), collect.near_duplicate)

    report(work)


def peer_map(row: dict[str, Any], rules: Any) -> dict[str, Any]:
    """Apply our filter functions to a row of `datasets`."""
    from tasks.filtering.sift import PassedWithShingles, judged
    from tasks.sources.adapters import raw_prompt_of

    found = judged(raw_prompt_of(row, "wildchat"), rules)
    if isinstance(found, PassedWithShingles):
        return {"id": found.kept.id, "rank": f"{found.kept.rank:016x}", "text": found.kept.text, "language": found.kept.language}
    return {"id": None, "rank": None, "text": None, "language": None}


def _without_copies(fit: Any, threshold: float) -> int:
    from rensa import RMinHash, RMinHashLSH

    from tasks.corpus.duplicates import jaccard, shingled
    from tasks.corpus.near_copies import shape

    number, rows = shape(threshold)
    index = RMinHashLSH(threshold, number * rows, number)
    kept, seen = list[frozenset[str]](), set[str]()
    for row in fit:
        if row["id"] in seen:
            continue
        seen.add(row["id"])
        shingles = shingled(row["text"], row["language"]).shingles
        sketch = RMinHash(number * rows, 1)
        sketch.update(list(shingles))
        if not any(jaccard(kept[place], shingles) >= threshold for place in index.query(sketch)):
            index.insert(len(kept), sketch)
            kept.append(shingles)
    return len(kept)


def report(work: Callable[[], tuple[int, int]]) -> None:
    start, before = time.monotonic(), cpu_seconds()
    rows, left = work()
    print(json.dumps({"rows": rows, "left": left, "seconds": time.monotonic() - start, "cpu": cpu_seconds() - before}))


if __name__ == "__main__":
    typer.run(main)
