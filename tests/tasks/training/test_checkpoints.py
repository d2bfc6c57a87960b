"""A checkpoint is valid or not used: for every kind of damage to the newest, the previous one is used."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tasks.training.checkpoints import SEAL, newest, problem, prune, seal
from tasks.training.trainer import load_data_only

FILES = ("model.safetensors", "optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json")


def checkpoint(scratch: Path, step: int, *, sealed: bool = True, shards: bool = False) -> Path:
    folder = scratch / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name in (*FILES, *(["latest"] if shards else [])):
        (folder / name).write_bytes(os.urandom(1000))
    if sealed:
        seal(folder, world=2)
    return folder


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != SEAL:
            path.unlink()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut off while it was written": lambda folder: (folder / SEAL).unlink(),
    "optimizer.pt is missing": lambda folder: (folder / "optimizer.pt").unlink(),
    "rng_state.pth is missing": lambda folder: (folder / "rng_state.pth").unlink(),
    "model.safetensors is damaged": lambda folder: os.truncate(folder / "model.safetensors", 999),
    "trainer_state.json is damaged": lambda folder: os.truncate(folder / "trainer_state.json", 0),
    "optimizer.pt is damaged": lambda folder: flip(folder / "optimizer.pt"),
    "seal.json: not JSON": lambda folder: os.truncate(folder / SEAL, 20),
    "model.safetensors is missing": lambda folder: empty(folder),
}


@pytest.mark.parametrize("named", DAMAGES)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_is_gone_on_from(tmp_path: Path, named: str) -> None:
    good, bad, warnings = checkpoint(tmp_path, 90), checkpoint(tmp_path, 100), list[str]()
    DAMAGES[named](bad)
    assert newest(tmp_path, world=2, warn=warnings.append) == good
    assert len(warnings) == 1
    assert "checkpoint-100" in warnings[0]
    assert named in warnings[0]
    assert not bad.exists(), "it will be written anew"


def test_a_sound_checkpoint_is_gone_on_from_without_a_word(tmp_path: Path) -> None:
    checkpoint(tmp_path, 9)
    last, warnings = checkpoint(tmp_path, 10), list[str]()
    assert newest(tmp_path, world=2, warn=warnings.append) == last
    assert newest(tmp_path / "none", world=2, warn=warnings.append) is None
    assert warnings == []


def test_none_is_left_where_all_are_damaged(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        flip(checkpoint(tmp_path, step) / "optimizer.pt")
    warnings = list[str]()
    assert newest(tmp_path, world=2, warn=warnings.append) is None
    assert len(warnings) == 3


def test_shards_of_another_number_of_processes_are_refused_and_plain_states_are_not(tmp_path: Path) -> None:
    assert problem(checkpoint(tmp_path, 1, shards=True), world=4) == "2 processes wrote its shards, there are 4 now"
    assert problem(checkpoint(tmp_path, 2), world=4) is None


def test_old_checkpoints_go_and_unsealed_ones_never_count_as_newest(tmp_path: Path) -> None:
    for step in (1, 2, 10, 20):
        checkpoint(tmp_path, step)
    checkpoint(tmp_path, 30, sealed=False)
    prune(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-20", "checkpoint-30"]


def test_the_pickle_that_nobody_reads_is_not_kept(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 1, sealed=False)
    (folder / "training_args.bin").write_bytes(b"pickle")
    seal(folder, world=1)
    assert not (folder / "training_args.bin").exists()
    assert problem(folder) is None


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(Path(os.environ["LONGWRITER_HOME"]) / "sang"),)


def test_deepspeed_s_shards_are_read_as_data_and_code_in_them_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As DeepSpeed's own engine reads them, which asks for whole pickles."""
    from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine
    from deepspeed.runtime.fp16.loss_scaler import LossScaler

    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")  # as before, once this test is over
    monkeypatch.setenv("LONGWRITER_HOME", str(tmp_path))
    load_data_only()
    torch.save({"scaler": LossScaler(scale=2.0), "step": torch.tensor(3)}, tmp_path / "sound.pt")
    torch.save({"step": _Code()}, tmp_path / "evil.pt")
    assert TorchCheckpointEngine().load(str(tmp_path / "sound.pt"))["scaler"].cur_scale == 2.0
    with pytest.raises(pickle.UnpicklingError):
        TorchCheckpointEngine().load(str(tmp_path / "evil.pt"))
    assert not (tmp_path / "sang").exists()
