"""Tests that need a GPU: a bf16 step, a killed training, ZeRO-3 on one GPU. (Isolation in packs: test_isolation.)"""

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import kill_behind_a_checkpoint
from tasks.schema.settings import Settings
from tasks.training.launch import train_all
from tests.conftest import ROOT
from tests.tasks.training.jobs import job
from tests.tasks.training.packs import packed_student

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    packed_student(folder)
    return folder


def losses(packed: Path, folder: Path, **changes: Any) -> list[float]:
    settings = Settings(home=folder / "home", trainings=1, checkpoints=0)
    (done,) = train_all([job(packed, folder / "out", settings, steps=6, **changes)], settings)
    assert done.machine.device != "cpu"
    return [point.loss for point in done.history]


def test_bf16_trains_as_float32_does_to_its_eight_bits(packed: Path, tmp_path: Path) -> None:
    exact, half = losses(packed, tmp_path / "fp32"), losses(packed, tmp_path / "bf16", precision="bf16")
    assert exact[0] > exact[-1]
    assert half == pytest.approx(exact, rel=2e-2)


def test_a_killed_training_goes_on_to_the_losses_of_the_unbroken_one(packed: Path, tmp_path: Path) -> None:
    expected = losses(packed, tmp_path / "calm")
    settings = Settings(home=tmp_path / "home", trainings=1, checkpoints=2)
    made = job(packed, tmp_path / "out", settings, steps=6)
    kill_behind_a_checkpoint(made, settings)
    (done,) = train_all([made], settings)
    assert [point.loss for point in done.history] == pytest.approx(expected, abs=1e-4)


def test_zero3_on_one_card_makes_the_losses_of_plain_training(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where the shipped config finds DeepSpeed's
    expected = losses(packed, tmp_path / "plain", precision="bf16")
    settings = Settings(home=tmp_path / "home", trainings=1, checkpoints=0, accelerate_config=ROOT / "infra/accelerate/zero3.yaml")
    (done,) = train_all([job(packed, tmp_path / "out", settings, steps=6, precision="bf16")], settings)
    assert [point.loss for point in done.history] == pytest.approx(expected, rel=2e-2)
    assert (tmp_path / "out/model.safetensors").is_file()
