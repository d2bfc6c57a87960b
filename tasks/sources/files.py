"""List the files of an entry of params.yaml, and check that they are the pinned ones.

Local files are tracked by DVC, files in a bucket by the digest of the listing and the ETag of each read, files of a hub dataset by
the commit. A file that changes or disappears between the listing and the last read is an error.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tasks.schema.errors import BadInput, SourceError
from tasks.schema.params import Source
from tasks.sources import bucket, hub
from tasks.sources.patterns import READABLE, below, data_files, say_left_out
from tasks.store import BOM


class SourceFile(NamedTuple):
    """One file of a source, with the state at the time of the listing."""

    entry: Source
    name: str  # prefix of `source` in its rows
    place: str  # a path, s3://bucket/key, or hf://datasets/organisation/name/file
    nbytes: int
    state: str  # local: modification time in ns; bucket: ETag; hub: commit

    @property
    def is_parquet(self) -> bool:
        return self.entry.format == "parquet" or (self.entry.format == "auto" and self.place.endswith(".parquet"))


def files_of(entry: Source, folder: Path) -> list[SourceFile]:
    """The files of an entry, sorted, each once. Raises BadInput if a pattern matches no file or the files are not the pinned ones."""
    if entry.place == "s3":
        objects = bucket.listing(entry)
        return [
            SourceFile(entry, f"{entry.name}/{found.key}", f"s3://{found.bucket}/{found.key}", found.nbytes, found.etag)
            for found in objects
        ]
    if entry.place == "hub":
        return [SourceFile(entry, f"{entry.name}/{path}", place, nbytes, entry.revision) for path, place, nbytes in hub.listing(entry)]
    paths = sorted({path for pattern in entry.files for path in _matching(folder, pattern, entry)})
    return [local_file(path, entry, str(path.relative_to(folder))) for path in paths]


def local_file(path: Path, entry: Source, name: str) -> SourceFile:
    """A local file with its current size and modification time."""
    status = path.stat()
    return SourceFile(entry, f"{entry.name}/{name}", str(path), status.st_size, str(status.st_mtime_ns))


def _matching(folder: Path, pattern: str, entry: Source) -> Iterator[Path]:
    paths = folder.glob(pattern) if any(sign in pattern for sign in "*?[") else [folder / pattern]
    found = [path for path in paths if path.exists()]
    if not found:
        fix = f"check the files of {entry.name} in params.yaml"
        raise BadInput(folder / pattern, f"source {entry.name}: no such file or folder", fix=fix)
    for path in found:
        if path.is_file():
            yield path
            continue
        found_below = in_folder(path)
        if not found_below:
            raise BadInput(path, f"source {entry.name}: no file to read in this folder", fix=f"put in one of {', '.join(READABLE)}")
        yield from found_below


def in_folder(path: Path, suffixes: tuple[str, ...] = READABLE) -> list[Path]:
    """The data files of a local folder, sorted by name. Prints one line that names other files which may contain rows."""
    names = below("", sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.is_file()))
    data = [name for name in data_files(names, suffixes) if not (name.endswith(".json") and _is_document(path / name))]
    say_left_out(str(path), names, data, suffixes)
    return [path / name for name in data]


def _is_document(path: Path) -> bool:
    """Whether a .json file is one object over several lines, such as a configuration. It contains no rows."""
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"").removeprefix(BOM).strip()
    return first == b"{"


def opened(file: SourceFile) -> BinaryIO:
    """The file's bytes as a seekable stream. Raises SourceError if the file is not available in its listed state."""
    if file.place.startswith("s3://"):
        return bucket.opened(file.place, etag=file.state, nbytes=file.nbytes)
    if file.place.startswith("hf://"):
        return hub.opened(file.place, revision=file.state)
    check(file)
    return open(file.place, "rb")


def check(file: SourceFile) -> None:
    """Raises SourceError if a local file has changed or disappeared since it was listed."""
    if file.place.startswith(("s3://", "hf://")):
        return  # every read requests the listed state
    try:
        status = Path(file.place).stat()
    except OSError as error:
        raise SourceError(f"{file.place}: vanished while it was read ({error.strerror}); restore it and run again") from None
    if (status.st_size, str(status.st_mtime_ns)) != (file.nbytes, file.state):
        raise SourceError(f"{file.place}: changed while it was read; run again when nothing writes to it")
