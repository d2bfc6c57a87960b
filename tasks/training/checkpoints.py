"""Seal checkpoints with the SHA-256 of every file, and find the newest valid one.

The seal is written last. A folder without a seal is incomplete. A folder that differs from its seal is damaged. A training resumes from
the newest valid checkpoint. The states of the optimizer and the random generators are torch pickles; transformers loads them with
`weights_only`, and the seal shows that this training wrote them.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tasks import store
from tasks.schema.errors import BadInput
from tasks.schema.records import Record

SEAL = "seal.json"
PREFIX = "checkpoint-"
UNNEEDED = "training_args.bin"  # a pickle that is not used


class Seal(Record):
    world: int  # processes that wrote it
    files: dict[str, str]  # SHA-256 by name


def seal(folder: Path, *, world: int) -> None:
    """Write the seal of a complete checkpoint. All files are flushed to the disk (fsync) when this returns.

    `world`: the number of processes that wrote the checkpoint.
    """
    (folder / UNNEEDED).unlink(missing_ok=True)
    names = _names(folder)
    for name in names:
        _flush(folder / name)
    store.write_json(folder / SEAL, Seal(world=world, files=_digests(folder, names)))
    _flush(folder / SEAL)
    _flush(folder)


def problem(folder: Path, *, world: int | None = None) -> str | None:
    """Why a training cannot resume from this checkpoint; None if it can."""
    if not (folder / SEAL).is_file():
        return "it was cut off while it was written"
    try:
        sealed = store.read_document(folder / SEAL, Seal)
    except BadInput as error:
        return f"{SEAL}: {error.problem}"
    if missing := sealed.files.keys() - set(_names(folder)):
        return f"{min(missing)} is missing"
    found = _digests(folder, list(sealed.files))
    if damaged := [name for name, digest in sealed.files.items() if found[name] != digest]:
        return f"{min(damaged)} is damaged"
    if world is not None and sealed.world != world and (folder / "latest").exists():  # DeepSpeed's shards are one per process
        return f"{sealed.world} processes wrote its shards, there are {world} now"
    return None


def newest(scratch: Path, *, world: int, warn: Callable[[str], None], known: int | None = None) -> Path | None:
    """The newest valid checkpoint up to step `known`, the last step in the history; without one, the newest valid checkpoint of all.

    Removes invalid checkpoints, and valid ones that are newer than the one returned, each with a warning. None if no checkpoint is valid.
    """
    holds: list[Path] = []
    for folder in reversed(_all(scratch)):
        wrong = problem(folder, world=world)
        if wrong is None and known is not None and step(folder) > known:
            holds.append(folder)
            continue
        if wrong is None:
            for later in holds:
                warn(f"{later.name}: the history ends at step {known}; going on from {folder.name}")
                shutil.rmtree(later)
            return folder
        warn(f"{folder.name}: {wrong}; going on from the one before it")
        shutil.rmtree(folder)
    if holds:
        warn(f"the history ends at step {known}; going on from {holds[0].name}, the numbers of the steps in between are lost")
    return holds[0] if holds else None


def prune(scratch: Path, *, keep: int) -> None:
    """Remove all sealed checkpoints but the newest `keep`."""
    sealed = [folder for folder in _all(scratch) if (folder / SEAL).is_file()]
    for folder in sealed[:-keep]:
        (folder / SEAL).unlink()  # first: a half-removed checkpoint must not look complete
        shutil.rmtree(folder)


def shortage(scratch: Path, *, expected: float) -> str | None:
    """Why the next checkpoint does not fit on the disk; None if it fits.

    It is assumed to be as large as the newest sealed checkpoint; `expected` bytes if there is none.
    """
    sealed = [folder for folder in _all(scratch) if (folder / SEAL).is_file()]
    size = sum(path.stat().st_size for path in sealed[-1].rglob("*") if path.is_file()) if sealed else expected
    free = shutil.disk_usage(scratch).free
    return f"the next checkpoint takes {size / 2**30:.2f} GiB, {free / 2**30:.2f} GiB are free on its disk" if free < size else None


def step(folder: Path) -> int:
    """The optimizer step after which a checkpoint was written; -1 if the folder is no checkpoint."""
    number = folder.name.removeprefix(PREFIX)
    return int(number) if folder.name.startswith(PREFIX) and number.isdigit() else -1


def _all(scratch: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    return sorted((folder for folder in scratch.glob(f"{PREFIX}*") if folder.is_dir() and step(folder) >= 0), key=step)


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != SEAL)


def _digests(folder: Path, names: list[str]) -> dict[str, str]:
    """SHA-256 by name. Threads hash in parallel, because hashlib releases the GIL."""

    def digest(name: str) -> str:
        with (folder / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(names, pool.map(digest, names), strict=True))


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
