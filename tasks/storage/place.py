"""The bucket's layout. No other module knows it.

PREFIX/NAME/versions/VERSION.json   manifests; a version exists, complete, when its manifest exists
PREFIX/NAME/aliases/ALIAS.json      aliases, which move from version to version, such as champion
PREFIX/NAME/files/CONTENT/PATH      the files, under the digest of the whole content; equal content is stored once
"""

import re
from typing import NamedTuple

from tasks.schema.errors import BadSettings
from tasks.schema.settings import PREFIX, settings

_URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[A-Za-z0-9!_.*'()/-]*))?")


class Place(NamedTuple):
    """A bucket and a prefix in it. The prefix is "" or ends with `/`."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def manifests(self, name: str) -> str:
        return f"{self.prefix}{name}/versions/"

    def manifest(self, name: str, version: str) -> str:
        return f"{self.manifests(name)}{version}.json"

    def aliases(self, name: str) -> str:
        return f"{self.prefix}{name}/aliases/"

    def alias(self, name: str, alias: str) -> str:
        return f"{self.aliases(name)}{alias}.json"

    def contents(self, name: str) -> str:
        return f"{self.prefix}{name}/files/"

    def content(self, name: str, digest: str) -> str:
        return f"{self.contents(name)}{digest}/"


def place(url: str = "") -> Place:
    """The place of `s3://BUCKET/PREFIX`; by default LONGWRITER_STORE. Raises BadSettings if it is missing or malformed."""
    given = url or settings().store
    if not given:
        raise BadSettings(f"environment: {PREFIX}STORE is not set; name the bucket, as s3://BUCKET/PREFIX")
    if not (found := _URL.fullmatch(given)) or "//" in (found["prefix"] or "") or ".." in given:
        raise BadSettings(f"environment: {PREFIX}STORE: not s3://BUCKET/PREFIX; correct it")
    prefix = (found["prefix"] or "").strip("/")
    return Place(found["bucket"], f"{prefix}/" if prefix else "")
