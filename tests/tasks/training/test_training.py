"""Trainings in child processes as in a real run: killed, damaged, misconfigured, with several processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from tasks import store
from tasks.schema.errors import TrainingFailed
from tasks.schema.params import Adapter
from tasks.schema.settings import PREFIX, Settings
from tasks.training.conversations import Tokens
from tasks.training.job import JOB, Resolved, TrainingJob
from tasks.training.launch import FinishedTraining, train_all
from tasks.training.trainer import train
from tests.conftest import ROOT
from tests.tasks.training.jobs import job
from tests.tasks.training.packs import answers, encoded, packed_student, write, write_alone
from tests.tasks.training.preloaded import Stages
from tests.tasks.training.stage_runs import finish, keep_histories, on_cpu

POISON = 0  # the padding token: no text has it


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    samples = packed_student(folder)
    bad = samples[5].input_ids.copy()
    bad[3] = POISON
    write([*samples[:5], Tokens(bad, samples[5].labels), *samples[6:12]], folder / "packs/poisoned", context=128)
    return folder


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def identical(one: Path, other: Path) -> None:
    a, b = weights_of(one), weights_of(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def losses(trained: Sequence[FinishedTraining]) -> list[tuple[int, float, float]]:
    return [(point.step, point.loss, point.grad_norm) for point in trained[0].history]


@pytest.mark.integration
def test_a_training_killed_inside_a_checkpoint_goes_on_to_the_same_weights_to_the_bit(packed: Path, tmp_path: Path, forks: Stages) -> None:
    calm, hard = tmp_path / "calm", tmp_path / "hard"
    unbroken, made = (job(packed, folder / "out", Settings(home=folder / "home", threads=1), steps=12) for folder in (calm, hard))
    finish(calm, [unbroken], forks)
    store.write_json(made.scratch / JOB, made)
    (made.scratch / "checkpoint-6").mkdir()
    os.mkfifo(made.scratch / "checkpoint-6/optimizer.pt")  # who opens it to write waits for a reader: in the middle of the checkpoint
    victim = subprocess.Popen([sys.executable, "-m", "tasks.training.trainer", str(made.scratch / JOB)], cwd=ROOT)
    wait_for(made.scratch / "checkpoint-6/model.safetensors", victim)
    time.sleep(0.5)
    victim.kill()
    victim.wait()
    assert (made.scratch / "checkpoint-3/seal.json").is_file()
    (made.scratch / "checkpoint-6/optimizer.pt").unlink()
    said = finish(hard, [made], forks)
    assert keep_histories(hard, [made]) == keep_histories(calm, [unbroken])
    identical(hard / "out", calm / "out")
    assert "warning: train student: checkpoint-6: it was cut off while it was written; going on from the one before it" in said
    assert not made.scratch.exists(), "what was for resuming is gone when all is done"


def wait_for(path: Path, process: "subprocess.Popen[Any]", seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, "the training ended"
        assert time.monotonic() < until
        time.sleep(0.02)


def poisoned(folder: Path, vocabulary: int) -> str:
    """A model whose embedding of POISON is not a number; its head is sound, so only packs with that token are touched."""
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight[POISON] = float("nan")
    model.save_pretrained(folder)
    return str(folder)


@pytest.mark.integration
def test_a_loss_that_is_no_number_stops_in_its_step_and_names_the_pack_and_its_samples(packed: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", trainings=1, checkpoints=8)
    base = poisoned(tmp_path / "base", 512)
    made = job(packed, tmp_path / "out", settings, packs="poisoned", steps=8, model=base, global_batch=2)
    store.write_json(made.scratch / JOB, made)
    with pytest.raises(
        TrainingFailed, match=r"step \d+: loss nan.*not finite; batch: row \d+ \(.*\bs5\b.*\); fix: look at these rows"
    ) as told:
        train(made)
    step = int(str(told.value).split("step ")[1].split(":")[0])
    kept = sorted(int(path.name.rpartition("-")[2]) for path in made.scratch.glob("checkpoint-*"))
    assert all(number < step for number in kept), "nothing is saved after the step that failed"
    assert not (tmp_path / "out").exists()
    (named,) = str(told.value).split("batch: ")[1].split("; fix: look")[0].split("; ")
    assert named.count("row ") == 1, "the batch has two packs; only the bad one is named"


@pytest.mark.integration
def test_a_loss_that_jumps_stops_too_and_keeps_the_last_good_checkpoint(packed: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", trainings=1, checkpoints=40)
    made = job(packed, tmp_path / "out", settings, steps=40, learning_rate=10.0, max_grad_norm=1e9, warmup=0.5, max_loss_jump=2.0)
    with pytest.raises(TrainingFailed, match=r"step \d+: loss .*, the usual loss, by more than max_loss_jump; batch: row \d+ \(s\d+"):
        train(made)
    assert list(made.scratch.glob("checkpoint-*/seal.json"))


def test_a_disk_that_filled_up_ends_the_training_before_a_checkpoint_is_begun(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path / "home", trainings=1, checkpoints=4)
    made = job(packed, tmp_path / "out", settings, steps=8)
    usage, free = shutil.disk_usage(tmp_path), iter([10**12, 1000])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=next(free)))
    with pytest.raises(TrainingFailed, match=r"step 4: the next checkpoint takes 0\.\d\d GiB, 0\.00 GiB are free on its disk; free some"):
        train(made)
    assert [path.name for path in made.scratch.glob("checkpoint-*")] == ["checkpoint-2"]
    assert (made.scratch / "checkpoint-2/seal.json").is_file()


@pytest.mark.parametrize("bits", [16, 4])
def test_an_adapter_is_trained_alone_and_saved_merged_as_any_checkpoint(packed: Path, tmp_path: Path, bits: Any) -> None:
    settings = Settings(home=tmp_path / "home", trainings=1, checkpoints=0)
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    adapter = Adapter(rank=4, alpha=8, dropout=0.0, bits=bits)
    changes: dict[str, Any] = {"model": str(tmp_path / "base"), "adapter": adapter, "learning_rate": 0.05, "precision": "bf16"}
    train(made := job(packed, tmp_path / "out", settings, steps=3, **changes))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= names
    assert not [name for name in names if name.startswith("adapter") or name.endswith(".bin")]
    before, after = weights_of(tmp_path / "base"), weights_of(tmp_path / "out")
    assert before.keys() == after.keys()
    moved = {name for name in after if not torch.allclose(before[name].bfloat16(), after[name].bfloat16(), atol=1e-3)}
    assert moved == {name for name in after if "_proj" in name}
    assert "quantization_config" not in json.loads((tmp_path / "out/config.json").read_text())
    AutoModelForCausalLM.from_pretrained(tmp_path / "out")(torch.tensor([[5, 6, 7]]))
    resolved = store.read_document(made.scratch / "resolved.json", Resolved)
    assert resolved.trained < resolved.parameters / 4


@pytest.mark.slow
@pytest.mark.parametrize("stage", [3, 2])
def test_zero_on_two_processes_saves_consolidates_and_resumes(packed: Path, tmp_path: Path, stage: int) -> None:
    """The tiny model by ZeRO: the same losses as one process alone; its safetensors load elsewhere, to the same logits."""
    alone = Settings(home=tmp_path / "alone", trainings=1, checkpoints=0)
    expected = losses(train_all([job(packed, tmp_path / "one", alone, steps=6)], alone))
    settings = Settings(home=tmp_path / "home", trainings=1, processes=2, checkpoints=2, accelerate_config=on_cpu(tmp_path, stage))
    made = job(packed, tmp_path / "two", settings, steps=6)
    found = killed_and_resumed(made, settings)
    for (_, loss, _), (_, other, _) in zip(found, expected, strict=True):
        assert loss == pytest.approx(other, abs=1e-4)
    inputs = torch.arange(4, 40).reshape(1, -1)
    one, two = (AutoModelForCausalLM.from_pretrained(tmp_path / name)(inputs).logits for name in ("one", "two"))
    assert (one - two).abs().max() < 1e-3
    assert not [path for path in (tmp_path / "two").iterdir() if path.suffix in {".bin", ".pt", ".pth"}]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_processes_that_share_each_row_make_the_losses_of_one(packed: Path, tmp_path: Path) -> None:
    """Ulysses: the mean over all target tokens of a global batch of four rows, of which each process sees a half; killed and resumed."""
    samples = encoded(answers(12))[1]
    cut = [
        Tokens(row.input_ids[: len(row.input_ids) - 2 * number], row.labels[: len(row.labels) - 2 * number])
        for number, row in enumerate(samples)
    ]
    write_alone(cut, packed / "packs/alone")
    alone = Settings(home=tmp_path / "alone", trainings=1, checkpoints=0)
    changes: dict[str, Any] = {"packs": "alone", "steps": 6, "global_batch": 4}
    expected = losses(train_all([job(packed, tmp_path / "one", alone, **changes)], alone))
    shared: dict[str, Any] = {"processes": 2, "sequence_parallel": 2, "accelerate_config": on_cpu(tmp_path, 3)}
    settings = Settings(home=tmp_path / "home", trainings=1, checkpoints=2, **shared)
    made = job(packed, tmp_path / "two", settings, **changes)
    found = killed_and_resumed(made, settings)
    assert np.allclose([numbers for _, *numbers in found], [numbers for _, *numbers in expected], atol=1e-5)


def killed_and_resumed(made: TrainingJob, settings: Settings) -> list[tuple[int, float, float]]:
    """The losses of a training of six steps, one of whose ranks was killed behind its checkpoint of the third."""
    killer = threading.Thread(target=kill_after, args=(made.scratch / "checkpoint-3/seal.json",))
    killer.start()
    with pytest.raises(TrainingFailed, match="run again to go on from it"):
        train_all([made], settings)
    killer.join()
    found = losses(train_all([made], settings))
    assert [step for step, *_ in found] == [1, 2, 3, 4, 5, 6]
    return found


def kill_after(path: Path) -> None:
    """One rank of the training that writes this file."""
    while not path.exists():
        time.sleep(0.05)
    ranks = [process for process in psutil.process_iter(["cmdline"]) if str(path.parents[1] / JOB) in (process.info["cmdline"] or [])]
    os.kill(max(rank.pid for rank in ranks), signal.SIGKILL)


@pytest.mark.slow
def test_one_dead_rank_ends_all_within_a_minute_and_the_rest_is_resumable(packed: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", trainings=1, processes=2, checkpoints=100)
    made = job(packed, tmp_path / "out", settings, steps=400)
    killer = threading.Thread(target=kill_after, args=(made.scratch / "checkpoint-8/seal.json",))
    killer.start()
    with pytest.raises(TrainingFailed, match="ended with exit code"):
        train_all([made], settings)
    ended = time.monotonic()
    killer.join()
    assert time.monotonic() - ended < 60
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(made.scratch / JOB) in (p.info["cmdline"] or [])]
    assert list(made.scratch.glob("checkpoint-*/seal.json"))


@pytest.mark.slow
def test_two_machines_train_together_by_settings_alone(packed: Path, tmp_path: Path) -> None:
    """Two on this one: each has its rank, the second runs the worker. The result is that of one machine."""
    from tests.tasks.workspace import environment, free_port

    port = free_port()
    alone = Settings(home=tmp_path / "alone", trainings=1, checkpoints=0)
    expected = losses(train_all([job(packed, tmp_path / "one", alone, steps=4)], alone))
    both = {"home": tmp_path / "home", "machines": 2, "main_port": port, "trainings": 1, "checkpoints": 0}
    own = {f"{PREFIX}{name.upper()}": str(value) for name, value in (both | {"machine_rank": 1}).items()}
    worker = subprocess.Popen([sys.executable, "-m", "tasks.training", "worker"], cwd=ROOT, env=environment(**own))
    try:
        settings = Settings.model_validate(both)
        found = losses(train_all([job(packed, tmp_path / "two", settings, steps=4)], settings))
    finally:
        worker.terminate()
        worker.wait()
    assert np.allclose([loss for _, loss, _ in found], [loss for _, loss, _ in expected], atol=1e-5)
