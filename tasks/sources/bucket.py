"""Pinned files in an S3 bucket: the listing has a digest, and every read requests the listed ETag.

Endpoint, region and credentials come from AWS's variables (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_PROFILE, …). Temporary failures
(5xx, a lost connection, a truncated body) are retried; after the last try the error names the object and the byte.
"""

import hashlib
import io
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from tasks.schema.errors import BadInput, SourceError
from tasks.schema.params import Source
from tasks.schema.redaction import redact
from tasks.sources.patterns import below, fixed_prefix, matching, say_left_out

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client

TRIES = 6
AT_ONCE = 8 * 2**20  # bytes per request
_GONE = {"404": "vanished", "NoSuchKey": "vanished", "NoSuchBucket": "vanished", "412": "changed", "PreconditionFailed": "changed"}


class ListedObject(NamedTuple):
    """An object in a bucket, as listed."""

    bucket: str
    key: str
    etag: str
    nbytes: int


def listing(entry: Source) -> list[ListedObject]:
    """The entry's objects, sorted by bucket and key.

    Raises BadInput if a pattern matches no object or the digest of the listing differs from the pinned revision; SourceError if the
    bucket cannot be listed.
    """
    found = _found(entry.files)
    if (now := digest(found)) != entry.revision:
        raise BadInput(
            entry.files[0],
            f"source {entry.name} is not the pinned one: {len(found)} objects with digest {now}",
            fix="if the change is intended, set this revision in params.yaml",
        )
    return found


def pin(patterns: list[str]) -> str:
    """The revision of the objects that match `patterns` now."""
    return digest(_found(patterns))


def digest(objects: list[ListedObject]) -> str:
    """SHA-256 of names, ETags and sizes, in hexadecimal. The order of `objects` does not matter."""
    lines = "".join(f"{found.bucket}/{found.key}\t{found.etag}\t{found.nbytes}\n" for found in sorted(objects))
    return hashlib.sha256(lines.encode()).hexdigest()


def _found(patterns: list[str]) -> list[ListedObject]:
    return sorted({thing for pattern in patterns for thing in _matching(pattern)})


def _matching(pattern: str) -> Iterator[ListedObject]:
    name, _, key = pattern.removeprefix("s3://").partition("/")
    objects = {found.key: found for found in _objects(name, fixed_prefix(key), pattern)}
    wanted = matching(key, objects)
    if not wanted:
        raise BadInput(pattern, "no object matches", fix="check the source's files in params.yaml")
    if key not in objects and fixed_prefix(key) == key:
        say_left_out(pattern, below(key, objects), wanted)
    yield from (objects[found] for found in wanted)


def _objects(bucket: str, prefix: str, pattern: str) -> Iterator[ListedObject]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        for page in client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                yield ListedObject(bucket, entry["Key"], entry["ETag"].strip('"'), entry["Size"])
    except (BotoCoreError, ClientError) as error:
        raise SourceError(f"{pattern}: cannot be listed: {_said(error)}; check AWS_ENDPOINT_URL, credentials and network") from None


@cache
def client() -> "S3Client":
    """The S3 client, with retries and timeouts. Created once."""
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": TRIES}, connect_timeout=10, read_timeout=60))


def opened(place: str, *, etag: str, nbytes: int) -> BinaryIO:
    """The object as a seekable stream. Reading raises SourceError if the object changed, disappeared or cannot be read."""
    return cast(BinaryIO, io.BufferedReader(_Reader(place, etag, nbytes), AT_ONCE))


class _CutShort(Exception):
    """A body ended or the connection broke before all bytes arrived."""


class _Reader(io.RawIOBase):
    def __init__(self, place: str, etag: str, nbytes: int) -> None:
        self._place, self._etag, self._nbytes, self._at = place, etag, nbytes, 0
        self._bucket, _, self._key = place.removeprefix("s3://").partition("/")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._nbytes)[whence]
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        wanted = min(len(view), self._nbytes - self._at)
        if wanted <= 0:
            return 0
        try:
            view[:wanted] = self._part(wanted)
        except _CutShort as error:
            raise SourceError(f"{self._place}: byte {self._at}: {error}, {TRIES} times; run again when the store answers") from None
        self._at += wanted
        return wanted

    @retry(retry=retry_if_exception_type(_CutShort), stop=stop_after_attempt(TRIES), wait=wait_random_exponential(0.1, 5), reraise=True)
    def _part(self, wanted: int) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        span = f"bytes={self._at}-{self._at + wanted - 1}"
        try:
            body = client().get_object(Bucket=self._bucket, Key=self._key, Range=span, IfMatch=self._etag)["Body"].read()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            problem = f"{_GONE[code]} while it was read" if code in _GONE else _said(error)
            raise SourceError(f"{self._place}: byte {self._at}: {problem}; run again when it is there in its pinned state") from None
        except HTTPClientError as error:
            raise _CutShort(_said(error)) from None
        except BotoCoreError as error:
            raise SourceError(f"{self._place}: byte {self._at}: {_said(error)}; check AWS_ENDPOINT_URL, credentials and network") from None
        if len(body) != wanted:
            raise _CutShort(f"{len(body)} of {wanted} bytes came")
        return bytes(body)


def _said(error: Exception) -> str:
    return redact(" ".join(str(error).split()))[:200]
