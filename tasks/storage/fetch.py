"""Fetch a version into a folder. Every part is verified against the manifest; a killed fetch resumes; the folder appears when complete."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.checkpoints import refuse_pickles
from tasks.progress import byte_bar, tqdm
from tasks.schema.errors import BadInput, StorageError, WorkspaceBusy
from tasks.schema.settings import settings
from tasks.storage import objects, parts, versions
from tasks.storage.client import S3Client, connect, one_line, preflight
from tasks.storage.manifest import Manifest, digests_of
from tasks.storage.place import Place

SPARE = 64 * 2**20  # bytes that a fetch leaves free on the disk


class Fetched(NamedTuple):
    manifest: Manifest
    folder: Path
    new: bool  # False: the folder had this content already
    fetched: int  # parts that this call downloaded
    spared: int  # parts that an earlier, killed fetch had downloaded


def fetch(
    name: str,
    target: Path,
    *,
    source: Place,
    version: str = versions.LATEST,
    replace: bool = False,
    pickles: bool = False,
    label: str | None = "fetch",
) -> Fetched:
    """Fetch a version (by its name, an alias or `latest`) as the folder `target`. A killed fetch resumes when called again.

    Raises BadInput if there is no such version, if it contains unsafe paths or pickles, or if the folder exists with other content and
    `replace` is not set; StorageError if the store fails or has other bytes than the manifest; WorkspaceBusy if another process fetches
    to the same folder.
    """
    client = connect()
    preflight(client, source)
    manifest = versions.resolve(client, source, name, version)
    if not pickles:
        refuse_pickles(f"{source}{name}/{manifest.version}", [file.path for file in manifest.files], arrays=True)
    if target.exists() and any(target.iterdir()) if target.is_dir() else target.exists():
        if holds(target, manifest):
            return Fetched(manifest, target, new=False, fetched=0, spared=0)
        store.check_replaceable(target)
        if not replace:
            raise BadInput(target, "already exists with other content", fix="choose another folder, or add --replace")
    store.check_replaceable(target)
    with _scratch(target, manifest) as scratch:
        with byte_bar(total=manifest.size, label=label) as progress:
            counts = _get(client, manifest, scratch, source, progress)
        if not pickles:  # pickles with a harmless name
            refuse_pickles(scratch, [file.path for file in manifest.files])
        _settle(scratch)
        store.take_place(scratch, target)
    return Fetched(manifest, target, True, *counts)


def holds(folder: Path, manifest: Manifest) -> bool:
    """Whether the folder contains exactly the manifest's files, byte by byte."""
    if not folder.is_dir():
        return False
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}
    if {file.path: file.size for file in manifest.files} != {path: found.lstat().st_size for path, found in there.items()}:
        return False
    return all(tuple(digests_of(there[file.path], manifest.part_size)) == file.parts for file in manifest.files)


@contextmanager
def _scratch(target: Path, manifest: Manifest) -> Iterator[Path]:
    """A locked scratch folder beside the target. Its name depends on the content, so a killed fetch finds it again."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{manifest.content[:12]}.part")
    if scratch.is_symlink() or any(path.is_symlink() for path in scratch.rglob("*")):
        raise BadInput(scratch, "has a link in it", fix="remove it and run again")
    scratch.mkdir(exist_ok=True)
    _enough_space(scratch, manifest)
    descriptor = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield scratch
    except BlockingIOError:
        raise WorkspaceBusy(f"{scratch}: another process fetches it; wait for it or end it, then run again") from None
    finally:
        os.close(descriptor)


def _enough_space(scratch: Path, manifest: Manifest) -> None:
    have = sum(path.stat().st_blocks * 512 for path in scratch.rglob("*") if path.is_file())
    free = shutil.disk_usage(scratch).free
    if (need := manifest.size - have + SPARE) > free:
        mib = 2**20
        raise StorageError(f"{scratch.parent}: {need // mib:,} MiB are needed, {free // mib:,} MiB free; free some space and run again")


def _get(client: S3Client, manifest: Manifest, scratch: Path, source: Place, progress: tqdm) -> tuple[int, int]:
    prefix = source.content(manifest.name, manifest.content)
    begun = {file.path for file in manifest.files if (scratch / file.path).exists()}
    for file in manifest.files:
        _make(scratch / file.path, file.size)
    fetching = parts.Fetching(parts.TransferFiles(client, source.bucket, prefix, manifest, scratch, progress.update), begun=begun)
    missing = list(manifest.files)
    for attempt in range(objects.READS):
        with one_line(f"s3://{source.bucket}/{prefix}"):
            missing = fetching.fetch(missing)
        if not missing:
            return fetching.fetched, fetching.spared
        time.sleep(objects.PAUSE * 2**attempt)
    raise StorageError(f"s3://{source.bucket}/{prefix}{missing[0].path}: missing, or not what its manifest says; publish the version again")


def _make(path: Path, size: int) -> None:
    """Make a file with its final size (sparse), or give it that size. Links are not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        os.ftruncate(handle, size)
    finally:
        os.close(handle)


def _settle(scratch: Path) -> None:
    """Flush all files to the disk (fsync), in parallel, so that the file system's journal batches them."""

    def flush(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    with ThreadPoolExecutor(settings().transfers, thread_name_prefix="flush") as pool:
        list(pool.map(flush, [*scratch.rglob("*"), scratch]))
