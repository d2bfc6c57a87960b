"""Send and fetch files by parts, several at a time. Every part is verified, and what a killed transfer completed is spared.

boto3's transfer manager starts every upload from the beginning and checks no ranged reply, so the parts are S3's own requests here. An
uploaded part carries the SHA-256 of its manifest, and the reply is checked against it; a downloaded part is hashed while it is read.
"""

import hashlib
import os
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, TypeVar, cast

from botocore.exceptions import ClientError, ResponseStreamingError

from tasks.schema.errors import BadInput
from tasks.schema.settings import settings
from tasks.storage import objects
from tasks.storage.client import S3Client, code
from tasks.storage.manifest import PIECE, Manifest, ManifestFile, digest_of

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, PartTypeDef, UploadPartOutputTypeDef

TRIES = 5  # per part that arrives damaged, on either side
PAUSE = 0.2  # seconds before a part is sent again, times the number of tries
BATCH = 100  # multipart uploads begun at once
METADATA = "sha256"  # metadata key of the file's checksum, for servers that store none
LOST = (  # uploads that must start from the beginning
    ("UploadPart", "NoSuchUpload"),  # another publisher of the same content has finished it
    ("CompleteMultipartUpload", "NoSuchUpload"),
    ("UploadPart", "NotImplemented"),  # a part arrived damaged, and rclone cannot replace a part that it has forwarded
)
Reply = TypeVar("Reply", bound=Mapping[str, object])


class Corrupted(ResponseStreamingError):
    """A part's bytes differ from its manifest."""

    fmt = "part {part} of {key} is not what its manifest says: {error}"


class StartedUpload(NamedTuple):
    """A multipart upload that was begun, and its parts by number (from 1)."""

    upload_id: str
    parts: Mapping[int, "PartTypeDef"]


class Stamp(NamedTuple):
    """Identifies a file's state; any write changes it."""

    inode: int
    changed: int  # ctime in ns, which no program can set


class SentPart(NamedTuple):
    reply: "PartTypeDef | UploadPartOutputTypeDef"
    spared: bool


def stamp(path: Path) -> Stamp:
    found = path.stat()
    return Stamp(found.st_ino, found.st_ctime_ns)


class TransferFiles(NamedTuple):
    """A manifest's files below a folder, and their keys below a prefix."""

    client: S3Client
    bucket: str
    prefix: str
    manifest: Manifest
    root: Path
    moved: Callable[[int], object]  # called with the bytes of each part that is there

    def key(self, file: ManifestFile) -> str:
        return self.prefix + file.path

    def size(self, file: ManifestFile, number: int) -> int:
        return min(self.manifest.part_size, file.size - number * self.manifest.part_size)

    def local(self, file: ManifestFile, number: int, algorithm: str) -> str:
        return digest_of(self.root / file.path, number, self.manifest.part_size, algorithm=algorithm)


class Sending:
    """Uploads. `stamps` are the files' states from before their digests were computed; `kept` are unfinished uploads, by key.

    Counts multipart parts sent and spared. `proven` has the keys of files that the server's reply has confirmed.
    """

    def __init__(self, of: TransferFiles, *, kept: Mapping[str, StartedUpload], stamps: Mapping[Path, Stamp]):
        self._of, self._kept, self._stamps = of, kept, stamps
        self.sent, self.spared, self.proven = 0, 0, set[str]()

    def send(self, files: Sequence[ManifestFile]) -> list[str]:
        """Send the files; the keys of uploads that must start from the beginning. Raises Corrupted, boto3's errors, and BadInput."""
        lost, large = list[str](), [file for file in files if len(file.parts) > 1]
        pool = ThreadPoolExecutor(settings().transfers, thread_name_prefix="send")
        try:
            small = [pool.submit(self._whole, file) for file in files if len(file.parts) == 1]
            for start in range(0, len(large), BATCH):
                batch = large[start : start + BATCH]
                begun = list(zip(batch, pool.map(self._begun, batch), strict=True))
                sending = [[pool.submit(self._part, *one, number) for number in range(len(one[0].parts))] for one in begun]
                for (file, upload), parts in zip(begun, sending, strict=True):
                    try:
                        self._complete(file, upload, [part.result() for part in parts])
                    except ClientError as error:
                        if (error.operation_name, code(error)) not in LOST:
                            raise
                        lost.append(self._of.key(file))
                        for part in parts:
                            part.cancel()
            for one in small:
                one.result()
        finally:
            pool.shutdown(cancel_futures=True)
        return lost

    def _whole(self, file: ManifestFile) -> None:
        def put(body: IO[bytes]) -> Mapping[str, object]:
            metadata = {METADATA: file.checksum}
            return self._of.client.put_object(
                Bucket=self._of.bucket, Key=self._of.key(file), Body=body, ChecksumSHA256=file.checksum, Metadata=metadata
            )

        self._verified(file, 0, put)
        self.proven.add(self._of.key(file))

    def _begun(self, file: ManifestFile) -> StartedUpload:
        key, metadata = self._of.key(file), {METADATA: file.checksum}
        if key in self._kept:
            return self._kept[key]
        made = self._of.client.create_multipart_upload(Bucket=self._of.bucket, Key=key, ChecksumAlgorithm="SHA256", Metadata=metadata)
        return StartedUpload(made["UploadId"], {})

    def _part(self, file: ManifestFile, upload: StartedUpload, number: int) -> SentPart:
        found = upload.parts.get(number + 1)
        if found and found["Size"] == self._of.size(file, number) and self._same(file, number, found):
            self._of.moved(found["Size"])
            return SentPart(found, spared=True)

        def put(body: IO[bytes]) -> "UploadPartOutputTypeDef":
            return self._of.client.upload_part(
                Bucket=self._of.bucket,
                Key=self._of.key(file),
                UploadId=upload.upload_id,
                PartNumber=number + 1,
                Body=body,
                ChecksumSHA256=file.parts[number],
            )

        return SentPart(self._verified(file, number, put), spared=False)

    def _verified(self, file: ManifestFile, number: int, send: Callable[[IO[bytes]], Reply]) -> Reply:
        """Send a part until the server has its bytes. Raises Corrupted after TRIES tries."""
        from s3transfer.utils import ReadFileChunk

        path, start, size = str(self._of.root / file.path), number * self._of.manifest.part_size, self._of.size(file, number)
        for attempt in range(1, TRIES + 1):
            with ReadFileChunk.from_filename(path, start, size) as body:
                reply = send(cast(IO[bytes], body))
            if self._same(file, number, reply):
                self._of.moved(size)
                return reply
            time.sleep(PAUSE * attempt)
        raise Corrupted(part=number + 1, key=self._of.key(file), error="the server holds other bytes than were sent")

    def _same(self, file: ManifestFile, number: int, reply: Mapping[str, object]) -> bool:
        """Whether the server has this part's bytes, by SHA-256 if the reply has it, else by the ETag.

        The ETag is the part's MD5, unless the server encrypts with KMS. The MD5 is computed from the file now. Raises BadInput if the
        file has changed since its SHA-256 was computed.
        """
        if "ChecksumSHA256" in reply:
            return bool(reply["ChecksumSHA256"] == file.parts[number])
        same = str(reply.get("ETag", "")).strip('"') == b64decode(self._of.local(file, number, "md5")).hex()
        if stamp(path := self._of.root / file.path) != self._stamps[path]:
            raise BadInput(path, "it changed while it was sent", fix="wait until nothing writes there, and run again")
        return same

    def _complete(self, file: ManifestFile, upload: StartedUpload, parts: Sequence[SentPart]) -> None:
        """Complete an upload. The file is proven if the reply's checksum, or its ETag, is that over all parts."""
        spared = sum(part.spared for part in parts)
        self.sent, self.spared = self.sent + len(parts) - spared, self.spared + spared
        completed: list[CompletedPartTypeDef] = []
        for number, (reply, _) in enumerate(parts, start=1):
            completed.append({"PartNumber": number, "ETag": reply["ETag"]})
            if "ChecksumSHA256" in reply:
                completed[-1]["ChecksumSHA256"] = reply["ChecksumSHA256"]
        done = self._of.client.complete_multipart_upload(
            Bucket=self._of.bucket, Key=self._of.key(file), UploadId=upload.upload_id, MultipartUpload={"Parts": completed}
        )
        checksum, together = done.get("ChecksumSHA256"), _together([part["ETag"] for part in completed])
        if file.known_by(checksum) if checksum else done.get("ETag", "").strip('"') == together:
            self.proven.add(self._of.key(file))


def _together(etags: Sequence[str]) -> str | None:
    """S3's ETag of a multipart object; None if the parts' ETags are not MD5s."""
    try:
        digests = [bytes.fromhex(etag.strip('"')) for etag in etags]
    except ValueError:
        return None
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(etags)}"


class Fetching:
    """Downloads. `begun`: the paths of files that an earlier fetch has left in the folder. Counts parts fetched and spared."""

    def __init__(self, of: TransferFiles, *, begun: set[str]):
        self._of, self._begun, self.fetched, self.spared = of, begun, 0, 0

    def fetch(self, files: Sequence[ManifestFile]) -> list[ManifestFile]:
        """Fetch the files, which exist with their sizes; those that the bucket lacks. Raises Corrupted and boto3's errors."""
        parts = [(file, number) for file in files if file.size for number in range(len(file.parts))]
        missing = dict[str, ManifestFile]()
        pool = ThreadPoolExecutor(settings().transfers, thread_name_prefix="fetch")
        try:
            for (file, number), fetched in zip(parts, pool.map(self._part, parts), strict=True):
                if fetched is None:
                    missing[file.path] = file
                else:
                    self.fetched, self.spared = self.fetched + fetched, self.spared + (not fetched)
                    self._of.moved(self._of.size(file, number))
        finally:
            pool.shutdown(cancel_futures=True)
        return list(missing.values())

    def _part(self, part: tuple[ManifestFile, int]) -> bool | None:
        """Whether a part was fetched, until its bytes were the manifest's; False: it was there; None: the bucket lacks the object."""
        from s3transfer.utils import S3_RETRYABLE_DOWNLOAD_ERRORS
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

        file, number = part
        if file.path in self._begun and self._of.local(file, number, "sha256") == file.parts[number]:
            return False
        again = Retrying(retry=retry_if_exception_type(S3_RETRYABLE_DOWNLOAD_ERRORS), stop=stop_after_attempt(TRIES), reraise=True)
        try:
            again(self._read, file, number)
        except ClientError as error:
            if code(error) not in objects.MISSING:
                raise
            return None
        return True

    def _read(self, file: ManifestFile, number: int) -> None:
        """Write a part's bytes to their place. Raises Corrupted if size or digest differ from the manifest."""
        at, size, digest = number * self._of.manifest.part_size, self._of.size(file, number), hashlib.sha256()
        body = self._of.client.get_object(Bucket=self._of.bucket, Key=self._of.key(file), Range=f"bytes={at}-{at + size - 1}")["Body"]
        end, handle = at + size, os.open(self._of.root / file.path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            while piece := body.read(PIECE):
                if at + len(piece) > end:
                    raise Corrupted(part=number + 1, key=self._of.key(file), error=f"more than {size} bytes came in")
                digest.update(piece)
                at += os.pwrite(handle, piece, at)
        finally:
            os.close(handle)
        if at != end or b64encode(digest.digest()).decode() != file.parts[number]:
            raise Corrupted(part=number + 1, key=self._of.key(file), error="other bytes came in")
