"""validate_dataset and pack as real processes, killed at random moments: outputs are complete or absent, and a rerun gives the same."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks import store
from tasks.corpus.dataset import GENERAL, write_dataset
from tests.conftest import ROOT
from tests.tasks.contracts.made import earlier_contracts
from tests.tasks.dataset_samples import BENCHMARK, good

KILLS = 20
COMMANDS = {
    "validate_dataset": (
        "tasks.validate_dataset",
        "dataset",
        "general",
        "raw",
        "benchmark.jsonl",
        "validate_instructions",
        "validate_drafts",
        "out",
    ),
    "pack": ("tasks.pack", "dataset", "general", "passed.json", "out"),
}
ANY = {"min": 1, "max": 100_000}
WITHIN: dict[str, dict[str, Any]] = {
    "validate_dataset": {"min_rows": 20, "lengths": {"p10": ANY, "p50": ANY, "p90": ANY}, "within_s_l": 0.9},
    "pack": {"context": 512, "vocabulary": 512, "max_rejects": 0.5},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the stages read: two datasets that pass, earlier verdicts, and params that fit so few rows."""
    yaml = YAML()
    tree = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, values in WITHIN.items():
        tree[section].update(values)
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)
    write_dataset(tmp_path / "dataset", good())
    write_dataset(tmp_path / "general", [], card=GENERAL)
    (tmp_path / "raw").mkdir()
    (tmp_path / "benchmark.jsonl").write_text(json.dumps({"prompt": BENCHMARK, "length": 500}) + "\n")
    earlier_contracts(tmp_path)
    store.write_json(tmp_path / "passed.json", {})
    return tmp_path


def start(folder: Path, stage: str) -> "subprocess.Popen[str]":
    own = os.environ | {"PYTHONPATH": str(ROOT), "LONGWRITER_HOME": str(folder / "home")}
    command = [sys.executable, "-m", *COMMANDS[stage]]
    return subprocess.Popen(command, cwd=folder, env=own, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finished(folder: Path, stage: str) -> dict[str, bytes]:
    """The stage's outputs, by path; of a page that has the time of its run in it, the path alone."""
    process = start(folder, stage)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return outputs(folder)


def outputs(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted((folder / "out").rglob("*")) if path.is_file())
    return {name(path, folder): b"" if "docs" in path.parts else path.read_bytes() for path in paths}


def name(path: Path, folder: Path) -> str:
    """Great Expectations names a run's page by its time."""
    parts = path.relative_to(folder / "out").parts
    return "/".join("run" if part.startswith("20") else part for part in parts)


def killed(folder: Path, stage: str, *, times: int) -> int:
    """Kill it so often at random moments of the time it takes; returns how often it was quicker. Outputs are whole or there are none."""
    luck, begun, quicker = random.Random(3), time.monotonic(), 0
    whole, took = finished(folder, stage), time.monotonic() - begun
    shutil.rmtree(folder / "out")
    for _ in range(times):
        process = start(folder, stage)
        time.sleep(luck.uniform(0.2, 0.9 * took))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (folder / "out").exists():
            quicker += 1
            assert outputs(folder) == whole
            shutil.rmtree(folder / "out")
    assert finished(folder, stage) == whole
    return quicker


@pytest.mark.integration
def test_a_killed_pack_leaves_nothing_and_its_rerun_the_same_bytes(folder: Path) -> None:
    killed(folder, "pack", times=1)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("stage", COMMANDS)
def test_a_stage_killed_at_twenty_moments_leaves_nothing_half_written(folder: Path, stage: str) -> None:
    assert killed(folder, stage, times=KILLS) < KILLS
