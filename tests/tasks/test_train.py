"""The train stage with real trainings: a few short texts, a few steps, in child processes as in a real run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks import store
from tasks.history import read_history
from tasks.schema.errors import BadSettings, TrainingFailed
from tasks.schema.params import Base, Tiny, Train
from tasks.schema.records import Metrics
from tasks.schema.settings import Settings
from tasks.training.job import Sft, TrainingJob
from tasks.training.launch import placed, plan, train_all
from tests.conftest import ROOT, descendants
from tests.tasks.training.jobs import OPTIMIZATION
from tests.tasks.training.packs import packed_student, write

TRAIN = Train(version=1, tiny=Tiny(layers=1, width=32, heads=2), weighting="token", **OPTIMIZATION.model_dump())


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """packs/student, packs/control and tokenizer, as the stage pack leaves them."""
    folder = tmp_path_factory.mktemp("pack")
    samples = packed_student(folder)
    write(samples[:8], folder / "packs/control", context=128)
    return folder


def job(packed: Path, out: Path, settings: Settings, *, steps: int = 2, **changes: Any) -> TrainingJob:
    train = TRAIN.model_copy(update=changes)
    base = Base(model="tiny", revision="", remote_code=False)
    method = Sft(weighting=train.weighting, tiny=train.tiny)
    paths = {"rows": packed / "packs/student", "tokenizer": packed / "tokenizer", "out": out}
    return plan("student", method, **paths, base=base, optimization=train, seed=1, steps=steps, settings=settings)


def start(packed: Path, tmp_path: Path, *, epochs: int) -> "subprocess.Popen[str]":
    """`python -m tasks.train` in a workspace of its own."""
    text = (ROOT / "profiles/rehearsal.yaml").read_text(encoding="utf-8")
    text = text.replace("epochs: 8", f"epochs: {epochs}").replace("layers: 3, width: 128, heads: 4", "layers: 1, width: 32, heads: 2")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "tasks.train", str(packed / "packs"), str(packed / "tokenizer"), "out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LONGWRITER_HOME": "home"}
    return subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_stage_ended_in_the_middle_leaves_no_process_and_goes_on_where_it_was(packed: Path, tmp_path: Path) -> None:
    stage = start(packed, tmp_path, epochs=20)
    while not list((tmp_path / "home/training").glob("*/checkpoint-*/seal.json")):
        assert stage.poll() is None, stage.communicate()[1]
        time.sleep(0.05)
    children = descendants("tasks.training.trainer", of=stage.pid)
    assert len(children) == 2
    stage.send_signal(signal.SIGTERM)
    assert stage.wait(30) == 143
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert not (tmp_path / "out").exists()
    reached = {path.name for path in (tmp_path / "home/training").glob("*/checkpoint-*")}

    again = start(packed, tmp_path, epochs=20)
    _, problem = again.communicate()
    assert again.returncode == 0, problem
    history = read_history(tmp_path / "out/history.jsonl")
    for model in ("student", "control"):
        steps = [entry.step for entry in history if entry.model == model]
        assert steps == sorted(set(steps)), "a step that was trained before is not trained and logged again"
        folder = tmp_path / "out/checkpoints" / model
        assert (folder / "model.safetensors").is_file()
        assert {"chat_template.jinja", "tokenizer.json", "generation_config.json"} <= {path.name for path in folder.iterdir()}
        assert json.loads((folder / "generation_config.json").read_text())["do_sample"], (
            "or the requested temperature is ignored when it is served"
        )
        assert not [path.name for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pth"}]
    assert reached
    assert not list((tmp_path / "home/training").iterdir()), "what was for resuming is gone when all is done"
    metrics = store.read_document(tmp_path / "out/metrics.json", Metrics).root.keys()
    assert {"student_loss", "control_loss", "student_step"} <= metrics
    kept = {name for entry in history for name in entry.values} | {name.partition("_")[2] for name in metrics}
    assert kept.isdisjoint({"tokens_per_second", "mfu", "memory_gib"}), "what depends on the machine is no part of an output"


@pytest.mark.integration
def test_a_loss_that_is_not_finite_fails_and_names_the_step(packed: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", trainings=1)
    with pytest.raises(TrainingFailed, match=r"step \d+: loss .*; batch: row \d+.*lower learning_rate"):
        train_all([job(packed, tmp_path / "out", settings, steps=20, learning_rate=10, max_grad_norm=1e9)], settings)


def test_a_global_batch_that_does_not_divide_is_refused_before_anything_starts(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="2 rows cannot be divided among 3 processes"):
        job(packed, tmp_path / "out", Settings(home=tmp_path / "home", processes=3))


def test_trainings_at_once_share_the_threads_and_one_alone_has_all(packed: Path, tmp_path: Path) -> None:
    own = Settings(home=tmp_path, threads=8, trainings=2)
    jobs = [job(packed, tmp_path, own)] * 2
    assert [made.where.threads for made in placed(jobs, own)] == [4, 4]
    assert [made.where.threads for made in placed(jobs[:1], own)] == [8]
    assert [made.where.threads for made in placed(jobs, own.model_copy(update={"processes": 16}))] == [1, 1]


def test_a_training_is_known_by_what_its_result_depends_on(packed: Path, tmp_path: Path) -> None:
    one = Settings(home=tmp_path, threads=1)
    assert job(packed, tmp_path, one).scratch == job(packed, tmp_path, Settings(home=tmp_path, threads=2)).scratch
    assert job(packed, tmp_path, one).scratch != job(packed, tmp_path, one, learning_rate=2e-3).scratch
