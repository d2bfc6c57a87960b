"""Trainings as child processes: a GPU's memory and ten seconds of imports are theirs, and accelerate makes them many ranks.

A training's scratch folder lies outside DVC's outputs, named by everything that its result depends on. Killed at any moment, the
same training started again goes on from its newest whole checkpoint; when all are done the scratch folders go.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks import progress, store
from tasks.schema.errors import BadSettings, TrainingFailed
from tasks.schema.params import Base, Optimization
from tasks.schema.settings import Settings
from tasks.sft import checkpoints, mirror
from tasks.sft.job import ERROR, HISTORY, JOB, RESOLVED, Job, Method, Point, Resolved, optimization_of, where

POLL = 0.2  # seconds
DDP = Path(__file__).parents[2] / "infra/accelerate/ddp.yaml"


class Trained(NamedTuple):
    """What a training tells when it is done: its steps, and what it resolved its job to."""

    history: list[Point]
    resolved: Resolved


def plan(
    name: str,
    method: Method,
    *,
    rows: Path,
    tokenizer: Path,
    out: Path,
    base: Base,
    optimization: Optimization,
    seed: int,
    steps: int,
    settings: Settings,
) -> Job:
    """A training of `steps` optimizer steps into `out`. Raises BadSettings if the global batch does not divide among the processes."""
    place = where(settings)
    check_division(optimization.global_batch, place.processes * place.machines, settings)
    optimization = optimization_of(optimization)
    said = (method, base, optimization)
    identity = "\n".join(
        (store.folder_digest(rows), store.folder_digest(tokenizer), *(part.model_dump_json() for part in said), f"{seed} {steps}")
    )
    scratch = settings.home.absolute() / "training" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    paths = {"rows": rows.absolute(), "tokenizer": tokenizer.absolute(), "out": out.absolute(), "scratch": scratch}
    return Job(name=name, method=method, base=base, optimization=optimization, seed=seed, steps=steps, where=place, **paths)


def check_division(global_batch: int, world: int, settings: Settings) -> None:
    """Raises BadSettings if the global batch does not divide among the processes of the settings."""
    if world % settings.sequence_parallel:
        problem = f"{world} processes do not divide into groups of {settings.sequence_parallel}"
        raise BadSettings(f"LONGWRITER_SEQUENCE_PARALLEL: {problem}; change it, or LONGWRITER_PROCESSES")
    replicas = world // settings.sequence_parallel
    if global_batch % (replicas * settings.micro_batch):
        problem = f"a global batch of {global_batch} rows does not divide among {replicas} processes of {settings.micro_batch} rows at once"
        raise BadSettings(f"LONGWRITER_PROCESSES: {problem}; change it, LONGWRITER_MICRO_BATCH, or global_batch in params.yaml")


def train_all(jobs: Sequence[Job], settings: Settings, *, watch: Callable[[Point], None] | None = None) -> list[Trained]:
    """Train every job, `settings.trainings` at once; what each tells. The first is the one with the bar.

    `watch` is handed the steps as they are made, some seconds late. Raises TrainingFailed when a launcher or a rank died. However
    this ends, no training outlives it.
    """
    waiting = [job.model_copy(update={"bar": number == 0 or settings.trainings == 1}) for number, job in enumerate(jobs)]
    running: dict[subprocess.Popen[bytes], Job] = {}
    seen = {job.name: _Tail(job.scratch / HISTORY) for job in jobs}
    try:
        while waiting or running:
            while waiting and len(running) < settings.trainings:
                job = waiting.pop(0)
                running[_start(job, settings)] = job
            for process in [process for process in running if process.poll() is not None]:
                _check(running.pop(process), process.returncode)
            time.sleep(POLL)
            if watch:
                for job in running.values():
                    seen[job.name].tell(watch)
    finally:
        _end(running)
    done = [Trained(list(store.read(job.scratch / HISTORY, Point)), store.read_document(job.scratch / RESOLVED, Resolved)) for job in jobs]
    for job in jobs:
        shutil.rmtree(job.scratch)
    return done


class _Tail:
    """The newest whole line of a file that grows."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def tell(self, watch: Callable[[Point], None]) -> None:
        if not self._path.exists() or self._path.stat().st_size <= self._read:
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        if newline:
            self._read += len(whole) + 1
            watch(Point.model_validate_json(whole.rpartition(b"\n")[2]))


def _start(job: Job, settings: Settings) -> subprocess.Popen[bytes]:
    job.scratch.mkdir(parents=True, exist_ok=True)
    (job.scratch / ERROR).unlink(missing_ok=True)

    def warn(what: str) -> None:
        progress.say(f"warning: train {job.name}: {what}")

    mirror.restore(job.scratch, world=job.where.world, warn=warn)
    resume = checkpoints.newest(job.scratch, world=job.where.world, warn=warn)
    store.write_json(job.scratch / JOB, job.model_copy(update={"resume": resume}))
    return join(job, settings)


def join(job: Job, settings: Settings) -> subprocess.Popen[bytes]:
    """This machine's processes of a training."""
    # Threads that wait asleep: spinning ones make a training on a busy machine ten times slower.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(job.where.threads), **os.environ}
    return subprocess.Popen([*launcher(job, settings), "-m", "tasks.sft.trainer", str(job.scratch / JOB)], env=environment)


def work_for_others(settings: Settings) -> None:
    """Join each training that machine 0 writes into the shared home, once. Raises TrainingFailed when a rank of this machine died."""
    done = set[tuple[Path, int]]()
    while True:
        for path in sorted((settings.home / "training").glob(f"*/{JOB}")):
            if (written := (path, path.stat().st_mtime_ns)) not in done:
                done.add(written)
                job = Job.model_validate_json(path.read_bytes())
                process = join(job, settings)
                try:
                    _check(job, process.wait())
                finally:
                    _end({process: job})
        time.sleep(POLL)


def launcher(job: Job, settings: Settings) -> list[str]:
    """Plain Python for one process; accelerate for several, with the config of the settings (DeepSpeed, FSDP) or that of plain DDP."""
    config, place = settings.accelerate_config, job.where
    if config is None and place.world == 1:
        return [sys.executable]
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config or DDP)]
    port = settings.main_port if place.machines > 1 else 0
    together = ["--num_machines", str(place.machines), "--num_processes", str(place.world), "--main_process_port", str(port)]
    rank = ["--machine_rank", str(settings.machine_rank), "--main_process_ip", settings.main_address]
    return [*accelerate, *together, *(rank if place.machines > 1 else [])]


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
