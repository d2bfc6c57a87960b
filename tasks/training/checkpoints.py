"""Checkpoints that are whole or are none: each is sealed, last of all, with the SHA-256 of every file in it.

A folder without a seal was cut off while it was written. One whose files differ from its seal was damaged since. Neither is gone on
from: the newest that holds is. The optimizer's and the generators' states are pickles of torch's own, which transformers loads with
`weights_only`; sealed like the rest, they are those that this training wrote.
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
UNNEEDED = "training_args.bin"  # a pickle that nobody reads


class Seal(Record):
    world: int  # processes that wrote it
    files: dict[str, str]  # SHA-256 by name


def seal(folder: Path, *, world: int) -> None:
    """Vouch for the checkpoint as it is now. Its files are on the disk, not only in its cache, when this returns."""
    (folder / UNNEEDED).unlink(missing_ok=True)
    names = _names(folder)
    for name in names:
        _flush(folder / name)
    store.write_json(folder / SEAL, Seal(world=world, files=_digests(folder, names)))
    _flush(folder / SEAL)
    _flush(folder)


def problem(folder: Path, *, world: int | None = None) -> str | None:
    """Why a checkpoint cannot be gone on from; None: it can."""
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
    """The newest checkpoint that holds, of those up to step `known`, the last with numbers in the history; of all, where there is none of
    those. Later ones are removed, each with a warning, as they will be written again."""
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
    """Remove all but the newest sealed checkpoints."""
    sealed = [folder for folder in _all(scratch) if (folder / SEAL).is_file()]
    for folder in sealed[:-keep]:
        (folder / SEAL).unlink()  # first of all: half a checkpoint must not look whole
        shutil.rmtree(folder)


def shortage(scratch: Path, *, expected: float) -> str | None:
    """Why the next checkpoint has no room on the disk; None: it has. The newest one shows how large it will be; `expected` bytes, where
    there is none."""
    sealed = [folder for folder in _all(scratch) if (folder / SEAL).is_file()]
    size = sum(path.stat().st_size for path in sealed[-1].rglob("*") if path.is_file()) if sealed else expected
    free = shutil.disk_usage(scratch).free
    return f"the next checkpoint takes {size / 2**30:.2f} GiB, {free / 2**30:.2f} GiB are free on its disk" if free < size else None


def step(folder: Path) -> int:
    """The step after which it was written; -1 for a folder that is none."""
    number = folder.name.removeprefix(PREFIX)
    return int(number) if folder.name.startswith(PREFIX) and number.isdigit() else -1


def _all(scratch: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    return sorted((folder for folder in scratch.glob(f"{PREFIX}*") if folder.is_dir() and step(folder) >= 0), key=step)


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != SEAL)


def _digests(folder: Path, names: list[str]) -> dict[str, str]:
    """Hashed a few at once: hashlib lets go of the interpreter, and shards are many."""

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
