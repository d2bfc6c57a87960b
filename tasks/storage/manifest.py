"""A version's manifest: its files and the SHA-256 of every part. It is written last, so a reader never sees an incomplete version.

Checksums are S3's own: a part's digest is its SHA-256. A file's checksum is S3's composite, the SHA-256 over its parts' digests plus
their number; a file of one part has its plain SHA-256. So the server, `aws s3api head-object --checksum-mode ENABLED` and the reader
compare the same value, and a partly fetched file can be checked part by part.
"""

import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal, Self

import orjson
from pydantic import Field, ValidationError, model_validator

from tasks import store
from tasks.schema.errors import BadInput, StorageError
from tasks.schema.records import Record
from tasks.storage import paths

PART = 16 * 2**20  # bytes; a broken transfer repeats at most one part
MAX_PARTS = 10_000  # S3's limit
PIECE = 2**20  # bytes read at once
EMPTY = b64encode(hashlib.sha256().digest()).decode("ascii")  # the digest of an empty file

Digest = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$", description="SHA-256, base64, as S3 has it")]


class ManifestFile(Record):
    path: str
    size: int = Field(ge=0)
    parts: tuple[Digest, ...] = Field(min_length=1, description="of each `part_size` bytes; one for an empty file")

    @property
    def checksum(self) -> str:
        """S3's ChecksumSHA256 of the object."""
        if len(self.parts) == 1:
            return self.parts[0]
        return f"{_base64(hashlib.sha256(b''.join(map(b64decode, self.parts))).digest())}-{len(self.parts)}"

    def known_by(self, checksum: str) -> bool:
        """Whether this is the file's checksum. The number of parts is ignored, because some servers omit it."""
        return checksum.split("-")[0] == self.checksum.split("-")[0]


class Manifest(Record):
    """A version's files and digests. Raises ValidationError if a name is unsafe, parts do not add up, or digests contradict the content."""

    format: Literal[1] = 1
    name: str = Field(description="of the collection: dataset, checkpoint")
    version: str
    content: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 over paths, sizes and parts: equal folders have equal ones")
    part_size: int = Field(ge=1)
    files: tuple[ManifestFile, ...] = Field(min_length=1)
    labels: Mapping[str, str] = Field({}, description="what people want to know of it: commit, DVC's digest, scores")
    uses: tuple[str, ...] = Field((), description="NAME/VERSION of what it was made from; kept as long as this is")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        paths.check((file.path for file in self.files), source="manifest")
        for file in self.files:
            if len(file.parts) != count(file.size, self.part_size):
                raise ValueError(f"{file.path}: {file.size} bytes in {len(file.parts)} parts")
            if (file.parts == (EMPTY,)) != (file.size == 0):
                raise ValueError(f"{file.path}: {file.size} bytes, and the digest of {'none' if file.size else 'some'}")
        if self.content != content(self.files, self.part_size):
            raise ValueError("content: not the digest of the files")
        return self

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


class Sealed(Record):
    """A manifest as stored in the bucket, with a digest over it that reveals any damage."""

    sha256: str
    manifest: Manifest


def describe(
    folder: Path,
    files: Sequence[Path],
    *,
    name: str,
    version: str | None,
    part_size: int | None = None,
    labels: Mapping[str, str] | None = None,
    uses: Sequence[str] = (),
    read: Callable[[int], object] = lambda size: None,
) -> Manifest:
    """The manifest of these files below `folder`. Reads the files once, several parts at a time.

    `version` is by default the first 16 hex digits of the content's digest. `part_size` is in bytes. `read` is called with the number
    of bytes of each piece read. Raises BadInput if a file changes meanwhile, or if its name is not allowed.
    """
    sizes = [path.stat().st_size for path in files]
    part_size = part_size or fitting(max(sizes))
    counts = [count(size, part_size) for size in sizes]
    every = [(path, number) for path, parts in zip(files, counts, strict=True) for number in range(parts)]
    with ThreadPoolExecutor(thread_name_prefix="digest") as pool:
        digests = pool.map(lambda part: digest_of(part[0], part[1], part_size, read), every)
        found = tuple(
            ManifestFile(path=path.relative_to(folder).as_posix(), size=size, parts=tuple(islice(digests, parts)))
            for path, size, parts in zip(files, sizes, counts, strict=True)
        )
    if sizes != [path.stat().st_size for path in files]:
        raise BadInput(folder, "it changed while it was read", fix="wait until nothing writes there")
    whole = content(found, part_size)
    version = version or whole[:16]
    try:
        return Manifest(name=name, version=version, content=whole, part_size=part_size, files=found, labels=labels or {}, uses=tuple(uses))
    except ValidationError as error:
        raise BadInput(folder, error.errors()[0]["msg"], fix="wait until nothing writes there, and run again") from None


def fitting(size: int) -> int:
    """The part size for a file of `size` bytes: 16 MiB, doubled until 10,000 parts are enough."""
    part = PART
    while count(size, part) > MAX_PARTS:
        part *= 2
    return part


def count(size: int, part_size: int) -> int:
    return max(1, -(-size // part_size))


def digests_of(path: Path, part_size: int) -> Iterator[str]:
    return (digest_of(path, number, part_size) for number in range(count(path.stat().st_size, part_size)))


def digest_of(
    path: Path, number: int, part_size: int, read: Callable[[int], object] = lambda size: None, *, algorithm: str = "sha256"
) -> str:
    """The digest of a file's part `number` (from 0), in base64."""
    digest, at, end = hashlib.new(algorithm, usedforsecurity=False), number * part_size, (number + 1) * part_size
    with path.open("rb", buffering=0) as file:
        while at < end and (piece := os.pread(file.fileno(), min(PIECE, end - at), at)):
            digest.update(piece)
            at += len(piece)
            read(len(piece))
    return _base64(digest.digest())


def content(files: Sequence[ManifestFile], part_size: int) -> str:
    listing = [[file.path, file.size, *file.parts] for file in sorted(files, key=lambda file: file.path)]
    return hashlib.sha256(orjson.dumps([part_size, listing])).hexdigest()


def seal(manifest: Manifest) -> bytes:
    return Sealed(sha256=_seal(manifest), manifest=manifest).model_dump_json(indent=1).encode() + b"\n"


def unseal(text: bytes, *, source: str) -> Manifest:
    """The manifest in `text`. Raises StorageError if it is not a manifest or is damaged."""
    try:
        sealed = Sealed.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise StorageError(f"{source}: not a manifest: {field}: {store.shorten(first['msg'])}; nothing is taken from it") from None
    if sealed.sha256 != _seal(sealed.manifest):
        raise StorageError(f"{source}: the manifest is damaged; nothing is taken from it")
    return sealed.manifest


def _seal(manifest: Manifest) -> str:
    return hashlib.sha256(orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode("ascii")
