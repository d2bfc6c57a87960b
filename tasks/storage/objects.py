"""Read and list objects: the requests that publish, fetch, list and prune share."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError
from pydantic import ValidationError

from tasks.schema.errors import StorageError
from tasks.storage.client import S3Client, code, one_line

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef, MultipartUploadTypeDef

READS = 4  # attempts to read an object that arrives damaged or is not visible yet
PAUSE = 0.5  # seconds before the second attempt, doubled before each further one
MISSING = ("NoSuchKey", "404")
BROKEN = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError, ValidationError)

T = TypeVar("T")


class StoredObject(NamedTuple):
    key: str
    size: int
    modified: datetime  # the server's clock


def listed(client: S3Client, bucket: str, prefix: str) -> Iterator[StoredObject]:
    with one_line(f"s3://{bucket}/{prefix}"):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                yield StoredObject(entry["Key"], entry["Size"], entry["LastModified"])


def read(client: S3Client, bucket: str, key: str, parse: Callable[[bytes], T]) -> T | None:
    """A small object, parsed; None if it does not exist.

    Retries if the object is truncated or `parse` raises StorageError. Raises StorageError after READS attempts.
    """
    for attempt in range(READS):
        try:
            with one_line(f"s3://{bucket}/{key}"):
                return parse(client.get_object(Bucket=bucket, Key=key)["Body"].read())
        except StorageError as error:
            cause = error.__context__
            if isinstance(cause, ClientError) and code(cause) in MISSING:
                return None
            if attempt == READS - 1 or (cause is not None and not isinstance(cause, BROKEN)):
                raise
            time.sleep(PAUSE * 2**attempt)
    raise AssertionError("the loop returns or raises")


def head(client: S3Client, bucket: str, key: str, *, patient: bool = False) -> "HeadObjectOutputTypeDef | None":
    """The server's HEAD reply with checksum; None if the object does not exist. `patient` waits some seconds for it to appear."""
    for attempt in range(READS if patient else 1):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        with one_line(f"s3://{bucket}/{key}"):
            try:
                return client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
            except ClientError as error:
                if code(error) not in MISSING:
                    raise
    return None


def uploads(client: S3Client, bucket: str, prefix: str) -> list["MultipartUploadTypeDef"]:
    """Unfinished multipart uploads below a prefix, oldest first."""
    with one_line(f"s3://{bucket}/{prefix}"):
        try:
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
            found = [upload for page in pages for upload in page.get("Uploads", [])]
        except ClientError as error:
            if code(error) != "NoSuchUpload":  # some servers' reply if there are none
                raise
            return []
    return sorted(found, key=lambda upload: upload["Initiated"])


def now(client: S3Client, bucket: str) -> datetime:
    """The server's time. Ages are computed from it, so a wrong local clock prunes nothing."""
    with one_line(f"s3://{bucket}"):
        headers = client.list_objects_v2(Bucket=bucket, MaxKeys=1)["ResponseMetadata"]["HTTPHeaders"]
    return parsedate_to_datetime(headers["date"])
