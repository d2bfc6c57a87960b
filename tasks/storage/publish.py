"""Publish a folder as an immutable version: first the files, every part verified, then the manifest, if there is none yet."""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from tasks.checkpoints import refuse_pickles
from tasks.progress import byte_bar, tqdm
from tasks.schema.errors import BadInput, StorageError
from tasks.schema.settings import settings
from tasks.storage import objects, parts, paths, versions
from tasks.storage.client import S3Client, code, connect, one_line, preflight
from tasks.storage.manifest import Manifest, ManifestFile, describe, digest_of, seal
from tasks.storage.place import Place

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

ROUNDS = 3  # of sending missing files
THERE = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")  # S3's replies if the object exists already (IfNoneMatch)


class PublishedVersion(NamedTuple):
    manifest: Manifest
    url: str  # of the manifest
    new: bool  # False: the version existed already
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
) -> PublishedVersion:
    """Publish the folder, or only `files` of it, as a version of `name`. `version` is by default the content's digest.

    A killed publication resumes when called again; the same content again changes nothing. Raises BadInput if the version exists with
    other content, and for links or (unless `pickles`) pickles; StorageError if the store fails.
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
        sent, spared = _send(client, manifest, folder, to, progress, stamps)  # also for an existing version: lost files are sent again
    new = there is None and _seal(client, to, manifest)
    return PublishedVersion(manifest, f"s3://{to.bucket}/{to.manifest(name, manifest.version)}", new=new, sent=sent, spared=spared)


def existing(client: S3Client, to: Place, manifest: Manifest) -> Manifest | None:
    """The version's manifest in the store, if it exists with the same content; None if not. Raises BadInput if its content differs."""
    key = to.manifest(manifest.name, manifest.version)
    if (found := versions.manifest(client, to, manifest.name, manifest.version)) is None:
        return None
    if found.content != manifest.content:
        raise BadInput(f"s3://{to.bucket}/{key}", "this version already exists with other content", fix="use a new version number")
    return found


def _send(
    client: S3Client, manifest: Manifest, folder: Path, to: Place, progress: tqdm, stamps: Mapping[Path, parts.Stamp]
) -> tuple[int, int]:
    """Send missing files; (multipart parts sent, parts spared). Raises StorageError if files are still missing at the end."""
    prefix, sent, spared = to.content(manifest.name, manifest.content), 0, 0
    missing = _missing(client, manifest, manifest.files, folder, to.bucket, prefix)
    for file in set(manifest.files) - set(missing):
        progress.update(file.size)
    for _ in range(ROUNDS):
        if not missing:
            return sent, spared
        begun = kept(client, to.bucket, prefix, missing, manifest.part_size)
        files = parts.TransferFiles(client, to.bucket, prefix, manifest, folder, progress.update)
        sending = parts.Sending(files, kept=begun, stamps=stamps)
        with one_line(f"s3://{to.bucket}/{prefix}"):
            lost = sending.send(missing)
        _forget(client, to.bucket, prefix, lost)
        sent, spared = sent + sending.sent, spared + sending.spared
        missing = [file for file in missing if prefix + file.path not in sending.proven]
        missing = _missing(client, manifest, missing, folder, to.bucket, prefix, patient=True)
    if missing:
        raise StorageError(f"s3://{to.bucket}/{prefix}{missing[0].path}: uploaded but not found afterwards; run again to resume")
    return sent, spared


def _forget(client: S3Client, bucket: str, prefix: str, keys: Sequence[str]) -> None:
    """Abort the unfinished uploads of these keys."""
    for upload in objects.uploads(client, bucket, prefix) if keys else []:
        if upload["Key"] in keys:
            with one_line(f"s3://{bucket}/{upload['Key']}"), suppress(client.exceptions.NoSuchUpload):
                client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def _missing(
    client: S3Client, manifest: Manifest, files: Sequence[ManifestFile], folder: Path, bucket: str, prefix: str, *, patient: bool = False
) -> list[ManifestFile]:
    """The files that the bucket lacks, or has with another size or checksum."""
    there = {} if patient else {entry.key: entry.size for entry in objects.listed(client, bucket, prefix)}

    def lacking(file: ManifestFile) -> bool:
        if not patient and there.get(prefix + file.path) != file.size:
            return True
        found = objects.head(client, bucket, prefix + file.path, patient=patient)
        return found is None or found["ContentLength"] != file.size or not _proven(found, file, folder, manifest.part_size)

    with ThreadPoolExecutor(settings().transfers, thread_name_prefix="head") as pool:
        return [file for file, lacks in zip(files, pool.map(lacking, files), strict=True) if lacks]


def _proven(found: "HeadObjectOutputTypeDef", file: ManifestFile, folder: Path, part_size: int) -> bool:
    """Whether an object has the file's checksum: the server's, or the one in the object's metadata if the server stores none.

    For an object of one part the ETag must match too, because some servers only repeat the checksum that they received.
    """
    metadata = {key.lower(): value for key, value in found.get("Metadata", {}).items()}
    if not file.known_by(str(found.get("ChecksumSHA256") or metadata.get(parts.METADATA, ""))):
        return False
    if len(file.parts) > 1 or "SSEKMSKeyId" in found:  # their ETags are not MD5s of the file
        return True
    return str(found["ETag"]).strip('"') == b64decode(digest_of(folder / file.path, 0, part_size, algorithm="md5")).hex()


def kept(client: S3Client, bucket: str, prefix: str, missing: Sequence[ManifestFile], part_size: int) -> dict[str, parts.StartedUpload]:
    """The newest unfinished multipart upload of each missing file, by key."""
    keys = {prefix + file.path for file in missing if file.size > part_size}
    found: dict[str, parts.StartedUpload] = {}
    if not keys:
        return found
    with one_line(f"s3://{bucket}/{prefix}"):
        for upload in objects.uploads(client, bucket, prefix):
            if (key := upload["Key"]) in keys:
                pages = client.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=upload["UploadId"])
                found[key] = parts.StartedUpload(
                    upload["UploadId"], {part["PartNumber"]: part for page in pages for part in page.get("Parts", [])}
                )
    return found


def _seal(client: S3Client, to: Place, manifest: Manifest) -> bool:
    """Write the manifest if there is none, and read it back. False: another publisher wrote the same one meanwhile.

    Raises BadInput as `existing`, and StorageError if the manifest arrived damaged or cannot be found.
    """
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
        if new:  # it arrived damaged on a server that does not check; it could be neither read nor replaced
            client.delete_object(Bucket=to.bucket, Key=key)
        raise
    if found is None:
        raise StorageError(f"s3://{to.bucket}/{key}: written but not found afterwards; run again to resume")
    return new
