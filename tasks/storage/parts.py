"""Extend boto3's transfer manager: verify every part, and resume killed transfers.

The transfer manager splits files into parts, transfers them in parallel, retries and bounds memory. Event handlers on the client
(boto3's extension point) add the rest. Every uploaded part carries the SHA-256 of its manifest, and the reply is checked against it.
Every downloaded part is hashed while it is read. A part that an earlier transfer completed (as `ListParts` or the scratch file of a
killed fetch shows) is answered locally, without a request.
"""

import hashlib
import io
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ResponseStreamingError

from tasks.schema.errors import BadInput
from tasks.schema.settings import settings
from tasks.storage.client import S3Client
from tasks.storage.manifest import Manifest, digest_of

if TYPE_CHECKING:
    from _typeshed import SupportsRead
    from mypy_boto3_s3.type_defs import PartTypeDef
    from s3transfer.manager import TransferManager

RESENT = 4  # times a part is sent again if the server's digest differs
METADATA = "sha256"  # metadata key of the file's checksum, for servers that store none


class Corrupted(ResponseStreamingError):
    """A part's bytes differ from its manifest. The transfer manager fetches it again."""

    fmt = "part {part} of {key} is not what its manifest says: {error}"


class _Answered(NamedTuple):
    """Replaces the HTTP response of a request that was answered locally."""

    status_code: int = 200


Fields = dict[str, Any]  # of a request or a reply, as botocore hands them to an event's handler
Answer = tuple[_Answered, Mapping[str, object]] | None


class _Part(NamedTuple):
    key: str
    number: int  # from 0


class StartedUpload(NamedTuple):
    """A multipart upload that an earlier run began, and its parts by number (from 1)."""

    upload_id: str
    parts: Mapping[int, "PartTypeDef"]


class Stamp(NamedTuple):
    """Identifies a file's state; any write changes it."""

    inode: int
    changed: int  # ctime in ns, which no program can set


def stamp(path: Path) -> Stamp:
    found = path.stat()
    return Stamp(found.st_ino, found.st_ctime_ns)


def manager(client: S3Client, part_size: int) -> "TransferManager":
    """boto3's classic transfer manager; the CRT client has no events and cannot resume after a kill."""
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    config = TransferConfig(
        multipart_threshold=part_size + 1,
        multipart_chunksize=part_size,
        max_concurrency=settings().transfers,
        preferred_transfer_client="classic",
    )
    found: TransferManager = create_transfer_manager(client, config)
    return found


class _Files:
    """Base of the handlers: a manifest's files by key. A request's context contains its part."""

    def __init__(self, manifest: Manifest, root: Path, prefix: str, moved: Callable[[int], object]):
        self._part_size, self._root, self._prefix, self._moved = manifest.part_size, root, prefix, moved
        self._files = {prefix + file.path: file for file in manifest.files}

    def _local(self, part: _Part, algorithm: str) -> str:
        return digest_of(self.path(part.key), part.number, self._part_size, algorithm=algorithm)

    def path(self, key: str) -> Path:
        return self._root / key.removeprefix(self._prefix)

    def _size(self, part: _Part) -> int:
        return min(self._part_size, self._files[part.key].size - part.number * self._part_size)

    def _digest(self, part: _Part) -> str:
        return self._files[part.key].parts[part.number]


class Sending(_Files):
    """Upload handlers: every part carries its SHA-256, and a part that the server has is not sent. Counts parts sent and spared.

    `stamps` are the files' states from before their digests were computed. `proven` contains the keys of files that the server's reply
    has confirmed; the others must be checked with a request.
    """

    def __init__(
        self,
        client: S3Client,
        manifest: Manifest,
        root: Path,
        prefix: str,
        *,
        kept: Mapping[str, StartedUpload],
        stamps: Mapping[Path, Stamp],
        moved: Callable[[int], object],
    ):
        super().__init__(manifest, root, prefix, moved)
        self._kept, self._stamps, self.sent, self.spared = kept, stamps, 0, 0
        self.proven: set[str] = set()
        events = client.meta.events
        for operation in ("PutObject", "UploadPart"):
            events.register(f"before-parameter-build.s3.{operation}", self._with_digest)
            events.register(f"needs-retry.s3.{operation}", self._distrust)  # type: ignore[arg-type]  # botocore sleeps for what it returns
        events.register("before-call.s3.UploadPart", self._spare)
        for operation in ("CreateMultipartUpload", "CompleteMultipartUpload"):
            events.register(f"before-parameter-build.s3.{operation}", self._note)
        events.register("before-call.s3.CreateMultipartUpload", self._go_on)
        for operation in ("PutObject", "CompleteMultipartUpload"):
            events.register(f"after-call.s3.{operation}", self._arrived)
        events.register("before-call.s3.AbortMultipartUpload", self._keep)

    def _with_digest(self, params: Fields, context: Fields, **_: object) -> None:
        part = _Part(params["Key"], params.get("PartNumber", 1) - 1)
        if part.key in self._files:
            context["longwriter"] = part
            params["ChecksumSHA256"] = self._digest(part)
            params.pop("ChecksumAlgorithm", None)

    def _note(self, params: Fields, context: Fields, **_: object) -> None:
        context["longwriter"] = _Part(params["Key"], 0)
        context["longwriter.etags"] = [part["ETag"] for part in params.get("MultipartUpload", {}).get("Parts", [])]

    def _go_on(self, context: Fields, **_: object) -> Any:
        kept = self._kept.get(context["longwriter"].key)
        return (_Answered(), {"UploadId": kept.upload_id}) if kept else None

    def _spare(self, context: Fields, **_: object) -> Any:
        part: _Part = context["longwriter"]
        kept = self._kept.get(part.key)
        found = kept.parts.get(part.number + 1) if kept else None
        if found and found["Size"] == self._size(part) and self._same(part, found):
            self.spared += 1
            self._moved(self._size(part))
            return _Answered(), {name: found[name] for name in ("ETag", "ChecksumSHA256") if name in found}
        self.sent += 1
        return None

    def _keep(self, **_: object) -> Any:
        """Suppress the abort of a failed upload, so that the next run resumes it. The bucket's lifecycle removes unfinished uploads."""
        return _Answered(204), {}

    def _distrust(self, response: Answer, attempts: int, request_dict: Fields, **_: object) -> float | None:
        """Seconds to wait before a part is sent again, because the server has other bytes; None if the part is right."""
        part = request_dict["context"].get("longwriter")
        if part is None or response is None or response[0].status_code != 200 or self._same(part, response[1]):
            return None
        if attempts > RESENT:
            raise Corrupted(part=part.number + 1, key=part.key, error="the server holds other bytes than were sent")
        return 0.2 * attempts

    def _same(self, part: _Part, reply: Mapping[str, object]) -> bool:
        """Whether the server has this part's bytes, by SHA-256 if the reply has it, else by the ETag.

        The ETag is the part's MD5, unless the server encrypts with KMS. The MD5 is computed from the file now. Raises BadInput if the
        file has changed since its SHA-256 was computed.
        """
        if "ChecksumSHA256" in reply:
            return bool(reply["ChecksumSHA256"] == self._digest(part))
        same = str(reply.get("ETag", "")).strip('"') == b64decode(self._local(part, "md5")).hex()
        if stamp(path := self.path(part.key)) != self._stamps[path]:
            raise BadInput(path, "it changed while it was sent", fix="wait until nothing writes there, and run again")
        return same

    def _arrived(self, parsed: Fields, context: Fields, **_: object) -> None:
        """Mark a file as proven. A single part was checked already; several parts are checked by the checksum or ETag over all of them."""
        part: _Part | None = context.get("longwriter")
        if part is None or "ETag" not in parsed:
            return
        etags = context.get("longwriter.etags", [])
        if "ChecksumSHA256" in parsed:
            whole = self._files[part.key].known_by(parsed["ChecksumSHA256"])
        else:
            whole = not etags or parsed["ETag"].strip('"') == _together(etags)
        if whole:
            self.proven.add(part.key)


def _together(etags: Sequence[str]) -> str | None:
    """S3's ETag of a multipart object; None if the parts' ETags are not MD5s."""
    try:
        digests = [bytes.fromhex(etag.strip('"')) for etag in etags]
    except ValueError:
        return None
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(etags)}"


class Fetching(_Files):
    """Download handlers: every part is verified, and a part that the scratch folder has is not requested. Counts both."""

    def __init__(self, client: S3Client, manifest: Manifest, root: Path, prefix: str, *, begun: set[str], moved: Callable[[int], object]):
        super().__init__(manifest, root, prefix, moved)
        self._begun, self.fetched, self.spared = begun, 0, 0
        self.proven: set[tuple[str, int]] = set()
        events = client.meta.events
        events.register("before-parameter-build.s3.GetObject", self._note)
        events.register("before-call.s3.GetObject", self._spare)
        events.register("after-call.s3.GetObject", self._hold)

    def whole(self, key: str) -> bool:
        """Whether every part of this file has been verified."""
        return all((key, number) in self.proven for number in range(len(self._files[key].parts)))

    def _note(self, params: Fields, context: Fields, **_: object) -> None:
        part = _Part(params["Key"], int(params["Range"].removeprefix("bytes=").split("-")[0]) // self._part_size)
        if part.number >= len(self._files[part.key].parts):
            raise Corrupted(part=part.number + 1, key=part.key, error="the object is longer")
        context["longwriter"] = part

    def _spare(self, context: Fields, **_: object) -> Any:
        part: _Part = context["longwriter"]
        if part.key not in self._begun or self._local(part, "sha256") != self._digest(part):
            return None
        self.spared += 1
        start, size = part.number * self._part_size, self._size(part)
        piece = _Span(self.path(part.key), start, size)
        span = f"bytes {start}-{start + size - 1}/{self._files[part.key].size}"
        context["longwriter.spared"] = True
        return _Answered(206), {"Body": piece, "ContentLength": size, "ContentRange": span, "ETag": None}

    def _hold(self, parsed: Fields, context: Fields, **_: object) -> None:
        if "Body" in parsed:
            part: _Part = context["longwriter"]
            self.fetched += not context.get("longwriter.spared")
            parsed["Body"] = _Held(parsed["Body"], part, self._digest(part), self._size(part), self.proven)


class _Held(io.RawIOBase):
    """A body that is hashed while it is read. Raises Corrupted at its end if size or digest differ from the manifest."""

    def __init__(self, body: "SupportsRead[bytes]", part: _Part, digest: str, size: int, proven: set[tuple[str, int]]):
        self._body, self._part, self._expected, self._size, self._proven = body, part, digest, size, proven
        self._digest, self._seen = hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        piece: bytes = self._body.read(size)
        self._digest.update(piece)
        self._seen += len(piece)
        if self._seen > self._size or (not piece and self._seen < self._size):  # the manifest's size and digest may contradict each other
            error = f"{self._seen} bytes or more came in, its manifest says {self._size}"
            raise Corrupted(part=self._part.number + 1, key=self._part.key, error=error)
        if not piece:
            if b64encode(self._digest.digest()).decode() != self._expected:
                raise Corrupted(part=self._part.number + 1, key=self._part.key, error="other bytes came in")
            self._proven.add((self._part.key, self._part.number))
        return piece


class _Span:
    """A byte range of a local file, as a response body."""

    def __init__(self, path: Path, start: int, size: int):
        self._path, self._at, self._end = path, start, start + size

    def read(self, size: int) -> bytes:
        with self._path.open("rb") as file:
            piece = os.pread(file.fileno(), min(size, self._end - self._at), self._at)
        self._at += len(piece)
        return piece
