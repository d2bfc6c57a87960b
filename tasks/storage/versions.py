"""List versions, resolve and set aliases, and make links to a version's files."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Literal, NamedTuple

from pydantic import ValidationError

from tasks.schema.errors import BadInput, StorageError
from tasks.schema.records import Record
from tasks.schema.settings import settings
from tasks.storage import objects, paths
from tasks.storage.client import S3Client, one_line
from tasks.storage.manifest import Manifest, unseal
from tasks.storage.place import Place

LATEST = "latest"
MAX_LINK = 7 * 24 * 3600  # seconds; S3's limit


class ListedVersion(NamedTuple):
    manifest: Manifest
    published: datetime  # the server's clock
    aliases: tuple[str, ...]


class Link(NamedTuple):
    path: str
    size: int
    url: str


class Alias(Record):
    format: Literal[1] = 1
    version: str


def names(client: S3Client, at: Place) -> list[str]:
    """The names with published versions in this place."""
    with one_line(str(at)):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=at.bucket, Prefix=at.prefix, Delimiter="/")
        found = [entry["Prefix"].removeprefix(at.prefix).rstrip("/") for page in pages for entry in page.get("CommonPrefixes", [])]
    return [name for name in found if re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name)]


def versions(client: S3Client, at: Place, name: str) -> list[ListedVersion]:
    """The versions of a name, oldest first. A version exists when its manifest exists, so incomplete versions are never listed."""
    paths.plain_name(name, what="a name")
    entries = [entry for entry in objects.listed(client, at.bucket, at.manifests(name)) if entry.key.endswith(".json")]
    held = aliases(client, at, name)
    with ThreadPoolExecutor(settings().transfers, thread_name_prefix="manifest") as pool:
        read = partial(manifest, client, at, name)
        found = list(pool.map(read, [entry.key.removeprefix(at.manifests(name)).removesuffix(".json") for entry in entries]))
    listed = [
        ListedVersion(one, entry.modified, tuple(alias for alias, version in held.items() if version == one.version))
        for one, entry in zip(found, entries, strict=True)
        if one  # deleted meanwhile
    ]
    return sorted(listed, key=lambda one: (one.published, one.manifest.version))


def manifest(client: S3Client, at: Place, name: str, version: str) -> Manifest | None:
    """A version's manifest; None if there is none. Raises StorageError if it is damaged or another version's, BadInput for a bad name."""
    key = at.manifest(name, paths.plain_name(version, what="a version"))
    source = f"s3://{at.bucket}/{key}"
    found = objects.read(client, at.bucket, key, partial(unseal, source=source))
    if found and (found.name, found.version) != (name, version):
        raise StorageError(f"{source}: the manifest is {found.name}/{found.version}'s; nothing is taken from it")
    return found


def resolve(client: S3Client, at: Place, name: str, version: str = LATEST) -> Manifest:
    """The manifest of a version, an alias or `latest`. Raises BadInput if there is none."""
    paths.plain_name(name, what="a name")
    if version == LATEST:
        entries = [entry for entry in objects.listed(client, at.bucket, at.manifests(name)) if entry.key.endswith(".json")]
        if not entries:
            raise BadInput(f"{at}{name}", "it has no such version", fix=f"name one of {', '.join(names(client, at)) or 'none yet'}")
        newest = max(entries, key=lambda entry: (entry.modified, entry.key))
        version = newest.key.removeprefix(at.manifests(name)).removesuffix(".json")
    version = paths.plain_name(version, what="a version")
    meant = aliases(client, at, name).get(version, version)
    if found := manifest(client, at, name, meant):
        return found
    if meant != version:
        fix = "set it again: `longwriter store follow` for an alias of the model registry, else `longwriter store alias`"
        raise BadInput(f"{at}{name}", f"the alias {version} points to version {meant}, which is gone from the store", fix=fix)
    raise BadInput(f"{at}{name}", f"no version or alias {version}", fix=f"`longwriter store list {name}` shows them")


def aliases(client: S3Client, at: Place, name: str) -> dict[str, str]:
    """{alias: version}."""
    found = {}
    for entry in objects.listed(client, at.bucket, at.aliases(name)):
        read = partial(_alias, source=f"s3://{at.bucket}/{entry.key}")
        if one := objects.read(client, at.bucket, entry.key, read):
            found[entry.key.removeprefix(at.aliases(name)).removesuffix(".json")] = one.version
    return found


def _alias(text: bytes, *, source: str) -> Alias:
    try:
        return Alias.model_validate_json(text)
    except ValidationError:
        raise StorageError(f"{source}: not an alias; set it again") from None


def set_alias(client: S3Client, at: Place, name: str, alias: str, version: str) -> str:
    """Set an alias to a version (or to another alias's version); returns the version.

    Raises BadInput if there is no such version, or if the alias is `latest` or a version's name.
    """
    if paths.plain_name(alias, what="an alias") == LATEST or manifest(client, at, name, alias):
        raise BadInput(f"{at}{name}", f"{alias} cannot be an alias: it is a version or means the latest", fix="name another")
    found = resolve(client, at, name, version).version
    key = at.alias(name, alias)
    with one_line(f"s3://{at.bucket}/{key}"):
        client.put_object(Bucket=at.bucket, Key=key, Body=Alias(version=found).model_dump_json().encode(), ContentType="application/json")
    return found


def drop_alias(client: S3Client, at: Place, name: str, alias: str) -> None:
    key = at.alias(name, paths.plain_name(alias, what="an alias"))
    with one_line(f"s3://{at.bucket}/{key}"):
        client.delete_object(Bucket=at.bucket, Key=key)


def links(client: S3Client, at: Place, found: Manifest, *, seconds: int, only: str | None = None) -> list[Link]:
    """Presigned links to all files of a version, or to the file `only`, valid for `seconds`. Anyone with a link may read the file.

    Raises BadInput if there is no such file, or if `seconds` is not in 1 to MAX_LINK.
    """
    if not 1 <= seconds <= MAX_LINK:
        raise BadInput("link", f"{seconds} seconds", fix=f"give 1 to {MAX_LINK} (seven days)")
    files = [file for file in found.files if only in (None, file.path)]
    if not files:
        raise BadInput(f"{at}{found.name}/{found.version}", f"no file {only}", fix=f"name a file of it, such as {found.files[0].path}")
    prefix = at.content(found.name, found.content)
    with one_line(str(at)):
        return [
            Link(
                file.path,
                file.size,
                client.generate_presigned_url("get_object", Params={"Bucket": at.bucket, "Key": prefix + file.path}, ExpiresIn=seconds),
            )
            for file in files
        ]
