"""Helpers for tests: chats on disk, the filter rules, and the remaining candidates."""

import json
from collections import Counter
from pathlib import Path

from tasks.corpus.contamination import BenchmarkIndex
from tasks.filtering.candidates import Candidates
from tasks.filtering.copies import equal, near
from tasks.filtering.pool import Rejects, fill
from tasks.filtering.sift import Rules
from tasks.rehearsal.raw import benchmark
from tasks.schema.params import Source, load
from tests.conftest import ROOT

ENTRY = Source(name="chats", files=["*.parquet"], format="auto", adapter="wildchat", revision="", licence="CC0-1.0")


def rules(*files: str) -> Rules:
    entry = ENTRY.model_copy(update={"files": list(files), "adapter": "auto"}) if files else ENTRY
    collect = load(Path(ROOT / "profiles/rehearsal.yaml")).collect.model_copy(update={"sources": [entry], "max_malformed": 1.0})
    return Rules(collect, BenchmarkIndex(item["prompt"] for item in benchmark()))


def sifted(folder: Path, out: Path, given: Rules) -> tuple[list[tuple[str, str]], list[dict[str, str]]]:
    """What stays, without copies, as text and source; and the rejects of the rules."""
    out.mkdir(parents=True, exist_ok=True)
    threshold = given.collect.near_duplicate
    with Candidates(out, threshold=threshold) as pool, Rejects(out / "rejects.jsonl") as rejects:
        facts = fill(pool, rejects, folder, given)
        copies = Counter[str]()
        unique = equal(pool, lambda place, first: copies.update(["equal"]))
        left = list(near(pool, unique, lambda place, other, similarity: copies.update(["near"])))
        assert facts["rows"] == len(left) + copies.total() + rejects.total
        stays = [(pool[place].text, pool[place].source) for place in left]
    return stays, [json.loads(line) for line in (out / "rejects.jsonl").open(encoding="utf-8")]
