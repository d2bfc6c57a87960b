"""The GPU benchmark's command runs: the same code on a CPU, with a small model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import DRY, ROWS, _reason, table
from tests.conftest import ROOT


def bench(out: Path, *options: str) -> str:
    command = [sys.executable, "-m", "benchmarks.gpu", "--dry", "--out", str(out), *options]
    return subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_a_dry_row_has_figures_and_is_not_measured_again(tmp_path: Path) -> None:
    said = bench(tmp_path, "--rows", "plain Trainer")
    found = json.loads((tmp_path / "results.json").read_text())["dry: plain Trainer, 4 samples padded"]
    assert found["tokens_per_second"] > 0
    assert found["note"] == ""
    assert "| dry: plain Trainer, 4 samples padded |" in said
    assert "…" not in bench(tmp_path, "--rows", "plain Trainer"), "what is in results.json is done"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_dry_row_has_figures(tmp_path: Path) -> None:
    bench(tmp_path, "--budget", "1700")
    found = json.loads((tmp_path / "results.json").read_text())
    assert {name for name, row in found.items() if row.get("tokens_per_second", 0) > 0} == {row.name for row in DRY}
    assert found["dry: sdpa, killed and resumed"]["note"].startswith("losses at most 0.0e+00")


def test_rows_without_figures_say_why_and_the_peer_is_the_best_of_its_batch_sizes() -> None:
    done = {"mfu": 0.5, "memory_gib": 40.0, "rate": 7e14, "device": "a card", "note": ""}
    packed, small, large, other = ROWS[0], *[row for row in ROWS if row.at_once][:2], ROWS[-1]
    said = table(
        [
            (packed, {**done, "tokens_per_second": 300.0}),
            (small, {**done, "tokens_per_second": 100.0}),
            (large, {**done, "tokens_per_second": 150.0}),
            (other, {"note": "torch.OutOfMemoryError: CUDA out of memory"}),
            (ROWS[1], None),
        ]
    )
    assert "1B: packed, 2.00 × the best of the plain Trainer with padding." in said
    assert "| – | – | – | torch.OutOfMemoryError: CUDA out of memory |" in said
    assert "| – | – | – | not begun: run it again |" in said
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_the_reason_of_a_failure_is_the_memory_where_that_was_it() -> None:
    traceback = (
        "[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried\nsubprocess.CalledProcessError: Command\nerror: train: exit code 1"
    )
    assert _reason(traceback, 1) == "torch.OutOfMemoryError: CUDA out of memory. Tried"
    assert _reason("", -9) == "exit code -9"
