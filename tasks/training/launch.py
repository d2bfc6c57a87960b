"""Run trainings as child processes, one or several ranks each (accelerate).

A child process frees its GPU memory when it ends, and keeps ten seconds of imports out of the stage. A training's scratch folder is
outside DVC's outputs; its name is a digest of everything the result depends on. A killed training that is started again resumes from
its newest valid checkpoint. The scratch folders are removed when all trainings are done.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from tasks import progress, store
from tasks.processes import bound, owned
from tasks.schema.errors import BadSettings, TrainingFailed
from tasks.schema.params import Base, Optimization
from tasks.schema.settings import Settings
from tasks.training import checkpoint_sync, checkpoints, extensions
from tasks.training.job import (
    ERROR,
    HISTORY,
    JOB,
    MACHINE,
    RESOLVED,
    Machine,
    Method,
    Resolved,
    TrainingJob,
    TrainingStep,
    optimization_of,
    trainings_at_once,
    where,
)

POLL = 0.2  # seconds
DYING = 30.0  # seconds to wait for the processes of a killed run to end
GRACE = 30.0  # seconds between SIGTERM and SIGKILL; accelerate's launcher forwards SIGTERM and waits
LOCK = "owner.lock"
DDP = Path(__file__).parents[2] / "infra/accelerate/ddp.yaml"


class FinishedTraining(NamedTuple):
    """A finished training: its steps, its resolved configuration and its hardware."""

    history: list[TrainingStep]
    resolved: Resolved
    machine: Machine


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
) -> TrainingJob:
    """A job that trains `steps` optimizer steps and writes the model to `out`.

    Raises BadSettings if the global batch cannot be divided among the processes.
    """
    place = where(settings)
    check_division(optimization.global_batch, place.processes * place.machines, settings)
    optimization = optimization_of(optimization)
    said = (method, base, optimization)
    identity = "\n".join(
        (store.folder_digest(rows), store.folder_digest(tokenizer), *(part.model_dump_json() for part in said), f"{seed} {steps}")
    )
    scratch = settings.home.absolute() / "training" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    paths = {"rows": rows.absolute(), "tokenizer": tokenizer.absolute(), "out": out.absolute(), "scratch": scratch}
    return TrainingJob(name=name, method=method, base=base, optimization=optimization, seed=seed, steps=steps, where=place, **paths)


def check_division(global_batch: int, world: int, settings: Settings) -> None:
    """Raises BadSettings if the global batch cannot be divided among the processes of the settings."""
    if world % settings.sequence_parallel:
        problem = f"{world} processes cannot be divided into groups of {settings.sequence_parallel}"
        raise BadSettings(f"LONGWRITER_SEQUENCE_PARALLEL: {problem}; change it, or LONGWRITER_PROCESSES")
    replicas = world // settings.sequence_parallel
    if global_batch % (replicas * settings.micro_batch):
        problem = (
            f"a global batch of {global_batch} rows cannot be divided among {replicas} processes of {settings.micro_batch} rows at once"
        )
        raise BadSettings(f"LONGWRITER_PROCESSES: {problem}; change it, LONGWRITER_MICRO_BATCH, or global_batch in params.yaml")


def train_all(
    jobs: Sequence[TrainingJob], settings: Settings, *, watch: Callable[[TrainingStep], None] | None = None
) -> list[FinishedTraining]:
    """Train every job; the results in the order of the jobs. The first job draws the progress bar.

    `settings.trainings` jobs run at once, and their processes share `settings.threads`.
    `watch` receives the newest step of each training, a little late. Raises TrainingFailed if a launcher or a rank fails. All trainings
    have ended when this returns or raises.
    """
    at_once = trainings_at_once(jobs, settings)
    waiting = placed(jobs, settings)
    running: dict[subprocess.Popen[bytes], TrainingJob] = {}
    seen = {job.name: _Tail(job.scratch / HISTORY) for job in jobs}
    owned = {job.name: own(job) for job in jobs}
    compiled = extensions.use(settings.home)
    shared = () if compiled is None else (compiled,)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                running[_start(job, settings, owned[job.name], *shared)] = job
            for process in [process for process in running if process.poll() is not None]:
                _check(running.pop(process), process.returncode)
            time.sleep(POLL)
            if watch:
                for job in running.values():
                    seen[job.name].tell(watch)
    finally:
        _end(running)
        for lock in (*owned.values(), *shared):
            os.close(lock)
    done = [_told(job.scratch) for job in jobs]
    for job in jobs:
        shutil.rmtree(job.scratch)
    return done


def placed(jobs: Sequence[TrainingJob], settings: Settings) -> list[TrainingJob]:
    """The jobs as they run here: trainings at once share the threads, and the first one draws the bar."""
    at_once = trainings_at_once(jobs, settings)
    threads = max(1, settings.threads // (at_once * settings.processes))
    return [
        job.model_copy(update={"bar": number == 0 or at_once == 1, "where": job.where.model_copy(update={"threads": threads})})
        for number, job in enumerate(jobs)
    ]


def _told(scratch: Path) -> FinishedTraining:
    history = list(store.read(scratch / HISTORY, TrainingStep))
    return FinishedTraining(history, store.read_document(scratch / RESOLVED, Resolved), store.read_document(scratch / MACHINE, Machine))


def own(job: TrainingJob) -> int:
    """Lock the training's scratch folder; the file descriptor of the lock.

    The training's processes inherit the descriptor; the kernel releases the lock when the last of them ends. Raises TrainingFailed if
    another run's processes hold the lock for DYING seconds.
    """
    job.scratch.mkdir(parents=True, exist_ok=True)
    lock = os.open(job.scratch / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    until = time.monotonic() + DYING
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(POLL)
                continue
            os.close(lock)
            raise TrainingFailed(
                f"{job.scratch}: another process trains {job.name} in this folder; wait until it ends, or stop it, and run again"
            ) from None
        except OSError:  # a file system without locks
            pass
        return lock


class _Tail:
    """Follow a history that grows, and that a resumed training truncates. Only the newest complete line is reported."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._file = path, 0, 0

    def tell(self, watch: Callable[[TrainingStep], None]) -> None:
        """Pass the newest step to `watch`. An unreadable file or line is no error: the next call reads again."""
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                if found.st_size < self._read or found.st_ino != self._file:
                    self._read, self._file = 0, found.st_ino
                file.seek(self._read)
                whole, newline, _ = file.read().rpartition(b"\n")
        except OSError:
            return
        if newline:
            self._read += len(whole) + 1
            if point := _point(whole.rpartition(b"\n")[2]):
                watch(point)


def _point(line: bytes) -> TrainingStep | None:
    """The step in a line. None if the line is incomplete, because the file was truncated and grew between two reads."""
    try:
        return TrainingStep.model_validate_json(line)
    except ValidationError:
        return None


def cut_history(path: Path, *, warn: Callable[[str], None]) -> int:
    """Truncate the history before its first line that is damaged or not the next step. Returns the last remaining step, 0 if none."""
    if not path.exists():
        return 0
    lines = path.read_bytes().split(b"\n")
    kept: list[bytes] = []
    for line in lines[:-1]:
        point = _point(line)
        if point is None or point.step != len(kept) + 1:
            break
        kept.append(line)
    if len(kept) < len(lines) - 1 or lines[-1]:
        warn(f"{path.name}: line {len(kept) + 1} was cut off or damaged when an earlier run ended; its steps are trained again")
        with store.replacing(path) as scratch:
            scratch.write_bytes(b"".join(line + b"\n" for line in kept))
    return len(kept)


def _start(job: TrainingJob, settings: Settings, *locks: int) -> subprocess.Popen[bytes]:
    (job.scratch / ERROR).unlink(missing_ok=True)
    store.sweep(job.scratch)

    def warn(what: str) -> None:
        progress.say(f"warning: train {job.name}: {what}")

    checkpoint_sync.restore(job.scratch, world=job.where.world, warn=warn)
    known = cut_history(job.scratch / HISTORY, warn=warn)
    resume = checkpoints.newest(job.scratch, world=job.where.world, known=known, warn=warn)
    store.write_json(job.scratch / JOB, job.model_copy(update={"resume": resume}))
    return join(job, settings, *locks)


def join(job: TrainingJob, settings: Settings, *locks: int) -> subprocess.Popen[bytes]:
    """Start this machine's processes of a training. They are killed if this process dies."""
    # PASSIVE: waiting threads sleep. Spinning threads make a training on a busy machine ten times slower.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(job.where.threads), **extensions.environment(settings.home)}
    environment |= {**os.environ, **owned()}
    command = [*launcher(job, settings), "-m", "tasks.training.trainer", str(job.scratch / JOB)]
    return subprocess.Popen(command, env=environment, preexec_fn=bound(signal.SIGKILL), pass_fds=locks)


def work_for_others(settings: Settings) -> None:
    """Join each training that machine 0 writes into the shared home; runs until interrupted.

    Raises TrainingFailed if a rank of this machine fails.
    """
    done = set[tuple[Path, int]]()
    while True:
        for path in sorted((settings.home / "training").glob(f"*/{JOB}")):
            if (written := (path, path.stat().st_mtime_ns)) not in done:
                done.add(written)
                job = TrainingJob.model_validate_json(path.read_bytes())
                process = join(job, settings)
                try:
                    _check(job, process.wait())
                finally:
                    _end({process: job})
        time.sleep(POLL)


def launcher(job: TrainingJob, settings: Settings) -> list[str]:
    """The command that starts a training: plain Python for one process without an accelerate config; else accelerate (default: DDP)."""
    config, place = settings.accelerate_config, job.where
    if config is None and place.world == 1:
        return [sys.executable]
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config or DDP)]
    port = settings.main_port if place.machines > 1 else 0
    together = ["--num_machines", str(place.machines), "--num_processes", str(place.world), "--main_process_port", str(port)]
    rank = ["--machine_rank", str(settings.machine_rank), "--main_process_ip", settings.main_address]
    return [*accelerate, *together, *(rank if place.machines > 1 else [])]


def _check(job: TrainingJob, code: int) -> None:
    if code:
        said = job.scratch / ERROR
        problem = said.read_text(encoding="utf-8") if said.exists() else f"train: the {job.name}'s training ended with exit code {code}"
        raise TrainingFailed(f"{problem}; the newest checkpoint is kept; run again to continue from it")


def _end(running: dict[subprocess.Popen[bytes], TrainingJob]) -> None:
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
