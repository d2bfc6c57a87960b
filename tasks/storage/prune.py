"""Delete old versions that nothing refers to, contents without a manifest, and abandoned uploads."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tasks.schema.errors import BadInput, StorageError
from tasks.storage import objects, versions
from tasks.storage.client import S3Client, one_line
from tasks.storage.place import Place

MIN_DAYS = 1.0  # younger contents may belong to a running publication
DELETED_AT_ONCE = 1000  # S3's limit per request


class Upload(NamedTuple):
    key: str
    upload_id: str


class Pruning(NamedTuple):
    """The versions, objects and uploads to delete, and the old versions to keep with the reason."""

    versions: tuple[versions.ListedVersion, ...]
    spared: tuple[tuple[versions.ListedVersion, str], ...]  # old, but something refers to them
    objects: tuple[objects.StoredObject, ...]  # files of contents that no manifest will refer to
    uploads: tuple[Upload, ...]  # unfinished

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.objects)


def plan(client: S3Client, at: Place, name: str, *, days: float) -> Pruning:
    """Plan the deletion of versions published at least `days` ago, by the server's clock. Changes nothing.

    Keeps the newest version, versions with an alias, and versions that any other version was made from (`uses`, of any name). Raises
    BadInput if `days` is under MIN_DAYS.
    """
    if days < MIN_DAYS:
        raise BadInput("prune", f"{days} days", fix=f"give {MIN_DAYS:g} or more; younger uploads may still be running")
    before = objects.now(client, at.bucket) - timedelta(days=days)
    listed = versions.versions(client, at, name)
    old = [one for one in listed if one.published <= before]
    going, spared = _apart(old, listed, _named_elsewhere(client, at, name))
    staying = {one.manifest.content for one in listed if one not in going}
    return Pruning(
        tuple(going),
        tuple(spared),
        tuple(_contents(client, at, name, staying, {one.manifest.content for one in going}, before)),
        tuple(
            Upload(entry["Key"], entry["UploadId"])
            for entry in objects.uploads(client, at.bucket, at.contents(name))
            if entry["Initiated"] <= before
        ),
    )


def _apart(
    old: Sequence[versions.ListedVersion], listed: Sequence[versions.ListedVersion], named: dict[str, str]
) -> tuple[list[versions.ListedVersion], list[tuple[versions.ListedVersion, str]]]:
    going, spared = [], []
    for one in old:
        if one is listed[-1]:
            spared.append((one, "the newest"))
        elif one.aliases:
            spared.append((one, f"is {', '.join(one.aliases)}"))
        elif user := named.get(f"{one.manifest.name}/{one.manifest.version}"):
            spared.append((one, f"{user} was made from it"))
        else:
            going.append(one)
    return going, spared


def _named_elsewhere(client: S3Client, at: Place, name: str) -> dict[str, str]:
    """{NAME/VERSION that is used: NAME/VERSION that was made from it}, over all names."""
    found: dict[str, str] = {}
    for other in {*versions.names(client, at), name}:
        for one in versions.versions(client, at, other):
            found.update(dict.fromkeys(one.manifest.uses, f"{other}/{one.manifest.version}"))
    return found


def _contents(
    client: S3Client, at: Place, name: str, staying: set[str], going: set[str], before: datetime
) -> Iterator[objects.StoredObject]:
    """Files of contents without a manifest: those of the versions to delete, and old ones of unfinished publications."""
    prefix = at.contents(name)
    found: dict[str, list[objects.StoredObject]] = {}
    for entry in objects.listed(client, at.bucket, prefix):
        found.setdefault(entry.key.removeprefix(prefix).split("/")[0], []).append(entry)
    for content, entries in found.items():
        if content not in staying and (content in going or all(entry.modified <= before for entry in entries)):
            yield from entries


def prune(client: S3Client, at: Place, planned: Pruning) -> None:
    """Delete what was planned, manifests first, so that no reader sees a version without its files. Raises StorageError."""
    _delete(client, at, [at.manifest(one.manifest.name, one.manifest.version) for one in planned.versions])
    _delete(client, at, [entry.key for entry in planned.objects])
    for upload in planned.uploads:
        with one_line(f"s3://{at.bucket}/{upload.key}"):
            client.abort_multipart_upload(Bucket=at.bucket, Key=upload.key, UploadId=upload.upload_id)


def _delete(client: S3Client, at: Place, keys: Sequence[str]) -> None:
    for start in range(0, len(keys), DELETED_AT_ONCE):
        with one_line(str(at)):
            batch = keys[start : start + DELETED_AT_ONCE]
            reply = client.delete_objects(Bucket=at.bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True})
        if failed := reply.get("Errors"):
            raise StorageError(f"s3://{at.bucket}/{failed[0].get('Key')}: not deleted ({failed[0].get('Code')}); run again")
