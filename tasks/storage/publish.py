"""A folder to an immutable version in the bucket: files first, each part proven; the manifest last, and only if there is none."""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from tasks.checkpoints import refuse_pickles
from tasks.progress import byte_bar
from tasks.schema.errors import BadInput, StorageError
from tasks.schema.settings import settings
from tasks.storage import objects, parts, paths, versions
from tasks.storage.client import S3Client, code, connect, one_line, preflight
from tasks.storage.manifest import File, Manifest, describe, digest_of, seal
from tasks.storage.place import Place

ROUNDS = 3  # of sending what is missing
LOST = (  # uploads that must start anew
    ("UploadPart", "NoSuchUpload"),  # another publisher of the same content has finished it
    ("CompleteMultipartUpload", "NoSuchUpload"),
    ("UploadPart", "NotImplemented"),  # a part came in damaged, and rclone cannot replace what it has passed on
)
THERE = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")  # what S3 says when an object must not be, and is


class Published(NamedTuple):
    manifest: Manifest
    url: str  # of the manifest
    new: bool  # False: it was there, and whole
    sent: int  # parts of multipart uploads
    spared: int  # parts that an earlier, killed publication had sent


def publish(
    folder: Path,
    name: str,
    *,
    to: Place,
    version: str | None = None,
    files: Sequence[Path] | None = None,
    labels: Mapping[str, str] | None = None,
    uses: Sequence[str] = (),
    pickles: bool = False,
    part_size: int | None = None,
    label: str | None = "publish",
) -> Published:
    """The folder, or `files` of it, as a version of `name`; without `version` it is called by its content's digest.

    Killed at any moment and called again, it sends what is missing. The same content again changes nothing. Raises BadInput for
    a version that is there with other content, for pickles unless allowed, and for links; StorageError if the store fails.
    """
    paths.plain_name(name, what="a name")
    if version is not None:
        paths.plain_name(version, what="a version")
    client = connect()
    preflight(client, to)
    chosen = paths.files(folder) if files is None else sorted(files)
    if not pickles:
        refuse_pickles(folder, [path.relative_to(folder).as_posix() for path in chosen])
    total, stamps = sum(path.stat().st_size for path in chosen), {path: parts.stamp(path) for path in chosen}
    with byte_bar(total=total, label=label and f"{label}: digests") as progress:
        manifest = describe(folder, chosen, name=name, version=version, part_size=part_size, labels=labels, uses=uses, read=progress.update)
    there = existing(client, to, manifest)
    with byte_bar(total=total, label=label) as progress:
        sent, spared = _send(client, manifest, folder, to, progress, stamps)  # also for a version that is there: what it lost is sent again
    new = there is None and _seal(client, to, manifest)
    return Published(manifest, f"s3://{to.bucket}/{to.manifest(name, manifest.version)}", new=new, sent=sent, spared=spared)


def existing(client: S3Client, to: Place, manifest: Manifest) -> Manifest | None:
    """The version, if it is there with the same content. Raises BadInput if it is there with another."""
    key = to.manifest(manifest.name, manifest.version)
    if (found := versions.manifest(client, to, manifest.name, manifest.version)) is None:
        return None
    if found.content != manifest.content:
        raise BadInput(f"s3://{to.bucket}/{key}", "this version exists, with other content", fix="name a new version")
    return found


def _send(
    client: S3Client, manifest: Manifest, folder: Path, to: Place, progress: Any, stamps: Mapping[Path, parts.Stamp]
) -> tuple[int, int]:
    """Send what is not there yet; counts of multipart parts sent and spared. Raises StorageError unless all is there in the end."""
    prefix, sent, spared = to.content(manifest.name, manifest.content), 0, 0
    missing = _missing(client, manifest, manifest.files, folder, to.bucket, prefix)
    for file in set(manifest.files) - set(missing):
        progress.update(file.size)
    for _ in range(ROUNDS):
        if not missing:
            return sent, spared
        sending, begun = connect(), kept(client, to.bucket, prefix, missing, manifest.part_size)
        handlers = parts.Sending(sending, manifest, folder, prefix, kept=begun, stamps=stamps, moved=progress.update)
        anew = _transfer(sending, missing, manifest, folder, to.bucket, prefix, progress)
        _forget(client, to.bucket, prefix, anew)
        sent, spared = sent + handlers.sent, spared + handlers.spared
        missing = [file for file in missing if prefix + file.path not in handlers.proven]
        missing = _missing(client, manifest, missing, folder, to.bucket, prefix, patient=True)
    if missing:
        raise StorageError(f"s3://{to.bucket}/{prefix}{missing[0].path}: uploaded but not found afterwards; run again to resume")
    return sent, spared


def _transfer(
    client: S3Client, files: Sequence[File], manifest: Manifest, folder: Path, bucket: str, prefix: str, progress: Any
) -> list[str]:
    """Send these files; the keys of those that have to start anew. Raises StorageError."""
    from boto3.s3.transfer import ProgressCallbackInvoker

    anew = []
    with one_line(f"s3://{bucket}/{prefix}"), parts.manager(client, manifest.part_size) as manager:
        futures = {
            prefix + file.path: manager.upload(
                str(folder / file.path),
                bucket,
                prefix + file.path,
                extra_args={"ChecksumAlgorithm": "SHA256", "Metadata": {parts.METADATA: file.checksum}},
                subscribers=[ProgressCallbackInvoker(progress.update)],
            )
            for file in files
        }
        for key, future in futures.items():
            try:
                future.result()
            except ClientError as error:
                if (error.operation_name, code(error)) not in LOST:
                    raise
                anew.append(key)
    return anew


def _forget(client: S3Client, bucket: str, prefix: str, keys: Sequence[str]) -> None:
    """Drop the begun uploads of these keys."""
    for upload in objects.uploads(client, bucket, prefix) if keys else []:
        if upload["Key"] in keys:
            with one_line(f"s3://{bucket}/{upload['Key']}"), suppress(client.exceptions.NoSuchUpload):
                client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def _missing(
    client: S3Client, manifest: Manifest, files: Sequence[File], folder: Path, bucket: str, prefix: str, *, patient: bool = False
) -> list[File]:
    """Which of the files are not in the bucket, whole and as they have to be."""
    there = {} if patient else {entry.key: entry.size for entry in objects.listed(client, bucket, prefix)}

    def lacking(file: File) -> bool:
        if not patient and there.get(prefix + file.path) != file.size:
            return True
        found = objects.head(client, bucket, prefix + file.path, patient=patient)
        return found is None or found["ContentLength"] != file.size or not _proven(found, file, folder, manifest.part_size)

    with ThreadPoolExecutor(settings().transfers, thread_name_prefix="head") as pool:
        return [file for file, lacks in zip(files, pool.map(lacking, files), strict=True) if lacks]


def _proven(found: Mapping[str, Any], file: File, folder: Path, part_size: int) -> bool:
    """By the server's checksum, or, where it keeps none, by what the publisher wrote beside an object whose parts it had proven.

    An object of one part lies there before it is proven, and some servers say again what they were told: its ETag has to be right too.
    """
    metadata = {key.lower(): value for key, value in found.get("Metadata", {}).items()}
    if not file.known_by(str(found.get("ChecksumSHA256") or metadata.get(parts.METADATA, ""))):
        return False
    if len(file.parts) > 1 or "SSEKMSKeyId" in found:  # whose ETags are no MD5s of the file
        return True
    return str(found["ETag"]).strip('"') == b64decode(digest_of(folder / file.path, 0, part_size, algorithm="md5")).hex()


def kept(client: S3Client, bucket: str, prefix: str, missing: Sequence[File], part_size: int) -> dict[str, parts.Kept]:
    """Multipart uploads of the missing files that somebody began and did not end: the newest of each."""
    keys = {prefix + file.path for file in missing if file.size > part_size}
    found: dict[str, parts.Kept] = {}
    if not keys:
        return found
    with one_line(f"s3://{bucket}/{prefix}"):
        for upload in objects.uploads(client, bucket, prefix):
            if (key := upload["Key"]) in keys:
                pages = client.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=upload["UploadId"])
                found[key] = parts.Kept(upload["UploadId"], {part["PartNumber"]: part for page in pages for part in page.get("Parts", [])})
    return found


def _seal(client: S3Client, to: Place, manifest: Manifest) -> bool:
    """Write the manifest, if there is none, and read it back. False: somebody wrote the same at the same time. Raises as `existing`."""
    key, text = to.manifest(manifest.name, manifest.version), seal(manifest)
    checksum = b64encode(hashlib.sha256(text).digest()).decode()
    with one_line(f"s3://{to.bucket}/{key}"):
        try:
            client.put_object(
                Bucket=to.bucket, Key=key, Body=text, IfNoneMatch="*", ContentType="application/json", ChecksumSHA256=checksum
            )
            new = True
        except ClientError as error:
            if code(error) not in THERE:
                raise
            new = False
    try:
        found = existing(client, to, manifest)
    except StorageError:
        if new:  # it came in damaged, on a server that does not hold it to its checksum: nobody could ever read it, or replace it
            client.delete_object(Bucket=to.bucket, Key=key)
        raise
    if found is None:
        raise StorageError(f"s3://{to.bucket}/{key}: written but not found afterwards; run again to resume")
    return new
