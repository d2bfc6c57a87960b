"""Chats on disk and the rules they are held against, for the tests of this folder."""

from pathlib import Path

from tasks.corpus.contamination import Prompts
from tasks.filtering.sift import Rules
from tasks.rehearsal.raw import benchmark
from tasks.schema.params import Source, load
from tests.conftest import ROOT

ENTRY = Source(name="chats", files=["*.parquet"], format="auto", adapter="wildchat", revision="", licence="CC0-1.0")


def rules(*files: str) -> Rules:
    entry = ENTRY.model_copy(update={"files": list(files), "adapter": "auto"}) if files else ENTRY
    collect = load(Path(ROOT / "profiles/rehearsal.yaml")).collect.model_copy(update={"sources": [entry], "max_malformed": 1.0})
    return Rules(collect, Prompts(item["prompt"] for item in benchmark()))
