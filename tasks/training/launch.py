"""Trainings as child processes: a GPU's memory and ten seconds of imports are theirs, and accelerate makes them many ranks.

A training's scratch folder lies outside DVC's outputs, named by everything that its result depends on. Killed at any moment, the
same training started again goes on from its newest whole checkpoint; when all are done the scratch folders go.
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
from tasks.training import checkpoint_sync, checkpoints
from tasks.training.job import ERROR, HISTORY, JOB, MACHINE, RESOLVED, Job, Machine, Method, Point, Resolved, optimization_of, where

POLL = 0.2  # seconds
DYING = 30.0  # seconds that processes of a killed run may take to be gone
GRACE = 30.0  # seconds between SIGTERM and SIGKILL; accelerate's launcher passes it on and waits
LOCK = "owner.lock"
DDP = Path(__file__).parents[2] / "infra/accelerate/ddp.yaml"


class Trained(NamedTuple):
    """What a training tells when it is done: its steps, what it resolved its job to, and what it ran on."""

    history: list[Point]
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
    owned = {job.name: own(job) for job in jobs}
    try:
        while waiting or running:
            while waiting and len(running) < settings.trainings:
                job = waiting.pop(0)
                running[_start(job, settings, owned[job.name])] = job
            for process in [process for process in running if process.poll() is not None]:
                _check(running.pop(process), process.returncode)
            time.sleep(POLL)
            if watch:
                for job in running.values():
                    seen[job.name].tell(watch)
    finally:
        _end(running)
        for lock in owned.values():
            os.close(lock)
    done = [_told(job.scratch) for job in jobs]
    for job in jobs:
        shutil.rmtree(job.scratch)
    return done


def _told(scratch: Path) -> Trained:
    history = list(store.read(scratch / HISTORY, Point))
    return Trained(history, store.read_document(scratch / RESOLVED, Resolved), store.read_document(scratch / MACHINE, Machine))


def own(job: Job) -> int:
    """Take the training's scratch folder; an open lock file, which the training's processes inherit. The kernel drops the lock with the
    last of them. Raises TrainingFailed while processes of another run hold it."""
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
                f"{job.scratch}: another process trains the {job.name} here; wait for it or end it, then run again"
            ) from None
        except OSError:  # a file system without locks
            pass
        return lock


class _Tail:
    """The newest whole line of a file that grows, and is cut where a training goes on from an earlier step."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._file = path, 0, 0

    def tell(self, watch: Callable[[Point], None]) -> None:
        """Nothing that it finds in the file ends a training: what cannot be read now is read again later."""
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


def _point(line: bytes) -> Point | None:
    """None for what is no step: a line that was read from its middle on, as the file was cut and grew again in between."""
    try:
        return Point.model_validate_json(line)
    except ValidationError:
        return None


def cut_history(path: Path, *, warn: Callable[[str], None]) -> int:
    """Remove the history from its first line on that is not whole or not the next step; the last step that is left."""
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


def _start(job: Job, settings: Settings, lock: int) -> subprocess.Popen[bytes]:
    (job.scratch / ERROR).unlink(missing_ok=True)
    store.sweep(job.scratch)

    def warn(what: str) -> None:
        progress.say(f"warning: train {job.name}: {what}")

    checkpoint_sync.restore(job.scratch, world=job.where.world, warn=warn)
    known = cut_history(job.scratch / HISTORY, warn=warn)
    resume = checkpoints.newest(job.scratch, world=job.where.world, known=known, warn=warn)
    store.write_json(job.scratch / JOB, job.model_copy(update={"resume": resume}))
    return join(job, settings, lock)


def join(job: Job, settings: Settings, *locks: int) -> subprocess.Popen[bytes]:
    """This machine's processes of a training. They end with this process, from their first moment on."""
    # Threads that wait asleep: spinning ones make a training on a busy machine ten times slower.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(job.where.threads), **os.environ, **owned()}
    command = [*launcher(job, settings), "-m", "tasks.training.trainer", str(job.scratch / JOB)]
    return subprocess.Popen(command, env=environment, preexec_fn=bound(signal.SIGKILL), pass_fds=locks)


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
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
