"""Thresholds that a small pool of prompts cannot reach are reported all at once, with their keys, before any money is spent."""

import json
from pathlib import Path

import pytest

from tasks.schema.params import Params, load
from tasks.sources.forecast import refusals
from tests.conftest import ROOT


@pytest.fixture
def params(tmp_path: Path) -> Params:
    tree = load(ROOT / "profiles/llama-3.1-8b.yaml").model_dump(mode="json", by_alias=True)
    entry = {"name": "own", "files": ["prompts.jsonl"], "format": "jsonl", "adapter": "prompt", "revision": "", "licence": "CC0-1.0"}
    tree["collect"] |= {"folder": str(tmp_path), "sources": [entry]}
    return Params.model_validate(tree)


def put(folder: Path, *prompts: str) -> None:
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))


def test_all_thresholds_are_named_at_once(tmp_path: Path, params: Params) -> None:
    rivers = [f"Write a 3000-word essay about river number {n}." for n in range(10)]
    put(tmp_path, *rivers, "Write a 300-word poem about bread.", "写一篇3000字的散文")
    found = refusals(params)
    assert [line.partition(":")[0] for line in found] == [
        "collect.words",
        "validate_instructions.min_rows",
        "validate_drafts.min_rows",
        "validate_dataset.min_rows",
        "validate_instructions.min_language_share",
        "validate_dataset.min_language_share",
    ]
    assert found[0] == "collect.words: 1 of 12 prompts ask for a length outside 2000 to 32000 words; widen it"
    assert found[1] == "validate_instructions.min_rows: 5,000, but at most 11 prompts are fit; lower it or bring more prompts"


def test_a_pool_that_can_reach_them_is_not_refused(tmp_path: Path, params: Params) -> None:
    put(tmp_path, *(f"Write a 3000-word essay about river number {n}." for n in range(10)))
    tree = params.model_dump(mode="json", by_alias=True)
    for key in ("validate_instructions", "validate_drafts", "validate_dataset"):
        tree[key]["min_rows"] = 5
    assert refusals(Params.model_validate(tree)) == []
