"""Trainings as child processes: a GPU's memory and ten seconds of imports are theirs, and accelerate makes them many ranks.

A training's scratch folder lies outside DVC's outputs, named by everything that its result depends on. Killed at any moment, the
same training started again goes on from its newest checkpoint; when all are done the scratch folders go.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tasks import store
from tasks.schema.errors import BadInput, TrainingFailed
from tasks.schema.params import Base, Train
from tasks.schema.settings import Settings
from tasks.sft.job import ERROR, HISTORY, JOB, Job, Point

POLL = 0.2  # seconds


def plan(name: str, packs: Path, tokenizer: Path, out: Path, *, base: Base, train: Train, seed: int, steps: int, settings: Settings) -> Job:
    """A training of `steps` optimizer steps into `out`. Raises BadInput if the global batch does not divide among the processes."""
    if train.global_batch % settings.processes:
        problem = f"{train.global_batch} packs do not divide among {settings.processes} processes"
        raise BadInput("params.yaml", problem, field="train.global_batch", mend="change it, or LONGWRITER_PROCESSES")
    inputs = (store.folder_digest(packs), store.folder_digest(tokenizer))
    identity = "\n".join((*inputs, base.model_dump_json(), train.model_dump_json(), str(seed), str(steps)))
    scratch = settings.home.absolute() / "training" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    threads = max(1, settings.threads // settings.trainings)
    where = {"packs": packs.absolute(), "tokenizer": tokenizer.absolute(), "out": out.absolute(), "scratch": scratch}
    return Job(name=name, base=base, train=train, seed=seed, steps=steps, processes=settings.processes, threads=threads, bar=False, **where)


def train_all(jobs: Sequence[Job], settings: Settings) -> list[Point]:
    """Train every job, `settings.trainings` at once; the history of all. The first is the one with the bar.

    Raises TrainingFailed when a launcher or a rank died. However this ends, no training outlives it.
    """
    waiting = [job.model_copy(update={"bar": number == 0 or settings.trainings == 1}) for number, job in enumerate(jobs)]
    running: dict[subprocess.Popen[bytes], Job] = {}
    try:
        while waiting or running:
            while waiting and len(running) < settings.trainings:
                job = waiting.pop(0)
                running[_start(job, settings)] = job
            for process in [process for process in running if process.poll() is not None]:
                _check(running.pop(process), process.returncode)
            time.sleep(POLL)
    finally:
        _end(running)
    history = [point for job in jobs for point in store.read(job.scratch / HISTORY, Point)]
    for job in jobs:
        shutil.rmtree(job.scratch)
    return history


def _start(job: Job, settings: Settings) -> subprocess.Popen[bytes]:
    job.scratch.mkdir(parents=True, exist_ok=True)
    store.write_json(job.scratch / JOB, job)
    (job.scratch / ERROR).unlink(missing_ok=True)
    # Threads that wait asleep: spinning ones make a training on a busy machine ten times slower.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(job.threads), **os.environ}
    return subprocess.Popen([*_launcher(settings), "-m", "tasks.sft.trainer", str(job.scratch / JOB)], env=environment)


def _launcher(settings: Settings) -> list[str]:
    """Plain Python for one process; accelerate where there are several, or where its config asks for DeepSpeed."""
    if settings.processes == 1 and settings.accelerate_config is None:
        return [sys.executable]
    config = ["--config_file", str(settings.accelerate_config)] if settings.accelerate_config else []
    return [sys.executable, "-m", "accelerate.commands.launch", *config, "--num_processes", str(settings.processes)]


def _check(job: Job, code: int) -> None:
    if code:
        said = job.scratch / ERROR
        problem = said.read_text(encoding="utf-8") if said.exists() else f"train: the {job.name}'s training ended with exit code {code}"
        raise TrainingFailed(f"{problem}; what was trained is kept, run again to go on from it")


def _end(running: dict[subprocess.Popen[bytes], Job]) -> None:
    for process in running:
        process.terminate()
    for process in running:
        process.wait()
