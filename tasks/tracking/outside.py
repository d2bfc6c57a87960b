"""Ask the registry, in milliseconds and without importing MLflow, whether what a stage recorded there is still true.

DVC knows files. The result of the stage promote is a version and an alias in a registry that DVC cannot see: another registry may be
configured now, a version may be deleted, an alias may be moved. A server is asked by its REST API, the embedded store by SQL. Other
stores (a database URL) are asked through MLflow's client, which takes seconds to import.
"""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError

from tasks.schema.errors import BadInput, EndpointError
from tasks.schema.settings import settings
from tasks.schema.urls import basic
from tasks.tracking import alias_moves, registry
from tasks.tracking.alias_moves import SINCE
from tasks.tracking.client import answering, embedded_file, names
from tasks.tracking.gate import Promoted
from tasks.tracking.registry import DIGEST, IDENTITY

PATIENCE = 20.0  # seconds for one request
API = "api/2.0/mlflow"


Answer = TypeVar("Answer", bound=BaseModel)


class Registered(NamedTuple):
    """What the registry has of the pipeline's model. `identity` is None if nothing is registered."""

    identity: str | None
    aliases: Mapping[str, str]  # version number by alias


class Asked(Protocol):
    """One way to ask a registry."""

    def model(self) -> Registered:
        """The identity and aliases of the pipeline's model."""
        ...

    def tags(self, number: str) -> Mapping[str, str] | None:
        """The tags of a version; None if there is no such version."""
        ...


class _Tag(BaseModel):
    key: str
    value: str = ""


class _Alias(BaseModel):
    alias: str
    version: str


class _Model(BaseModel):
    tags: tuple[_Tag, ...] = ()
    aliases: tuple[_Alias, ...] = ()


class _Answer(BaseModel):
    registered_model: _Model


class _Version(BaseModel):
    tags: tuple[_Tag, ...] = ()


class _VersionAnswer(BaseModel):
    model_version: _Version


def asked() -> Asked:
    """The registry of the settings."""
    given = settings().tracking_uri
    if given.is_http:
        return _Server()
    return _Embedded(embedded_file()) if not given else _Client()


def contradiction(promoted: Promoted) -> str | None:
    """Why a result of the stage promote is not true in the registry of the settings; None if it is true.

    It is true if this registry made the decision, still has the version with the same checkpoint, and, for a champion, if the alias points
    to it, or if the version waits to be served and the champion is the one that it was compared with. A moved alias is decided about
    again. Raises EndpointError if the registry does not answer.
    """
    there, aliases = asked(), names().aliases
    found = there.model()
    if found.identity is None:
        return f"no model {names().model} is registered there"
    if found.identity != promoted.registry:
        return "another registry made that decision"
    tags = there.tags(promoted.version)
    if tags is None:
        return f"version {promoted.version} is gone"
    if tags.get(DIGEST) != promoted.checkpoint_digest:
        return f"version {promoted.version} is another checkpoint there"
    holder = found.aliases.get(aliases.champion)
    waits = tags.get(SINCE) == promoted.candidate_since and alias_moves.waits(tags, holder)
    if promoted.alias == "champion" and holder != promoted.version and not waits:
        now = f"version {holder} is" if holder else "no version is"
        return f"{now} champion there, not version {promoted.version}"
    return None


class _Server:
    def model(self) -> Registered:
        text = self._get("registered-models/get", name=names().model)
        if text is None:
            return Registered(None, {})
        found = _read(_Answer, text).registered_model
        tags = {tag.key: tag.value for tag in found.tags}
        return Registered(tags.get(IDENTITY, ""), {one.alias: one.version for one in found.aliases})

    def tags(self, number: str) -> Mapping[str, str] | None:
        text = self._get("model-versions/get", name=names().model, version=number)
        return None if text is None else {tag.key: tag.value for tag in _read(_VersionAnswer, text).model_version.tags}

    def _get(self, path: str, **params: str) -> bytes | None:
        """The reply's body; None if what was asked for does not exist. Raises EndpointError."""
        import httpx

        url = settings().tracking_uri
        try:
            reply = httpx.get(f"{url.rstrip('/')}/{API}/{path}?{urlencode(params)}", headers=_authorization(), timeout=PATIENCE)
        except httpx.HTTPError as error:
            raise EndpointError(f"MLflow: {url} does not answer ({type(error).__name__}); run again when it works") from None
        if reply.status_code == httpx.codes.NOT_FOUND and b"RESOURCE_DOES_NOT_EXIST" in reply.content:
            return None
        if reply.status_code != httpx.codes.OK:
            raise EndpointError(f"MLflow: {url} answered {reply.status_code}; check LONGWRITER_TRACKING_URI and its credentials")
        return reply.content


def _authorization() -> dict[str, str]:
    """The header that MLflow's client would send: the URL's user, else MLflow's own variables."""
    authorization, token = settings().tracking_uri.basic, os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    if not authorization and (user := os.environ.get("MLFLOW_TRACKING_USERNAME", "")):
        authorization = basic(f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}")
    authorization = authorization or (f"Bearer {token}" if token else "")
    return {"Authorization": authorization} if authorization else {}


def _read(kind: type[Answer], text: bytes) -> Answer:
    try:
        return kind.model_validate_json(text)
    except ValidationError:
        problem = "sent an answer that is not MLflow's; check that LONGWRITER_TRACKING_URI is the URL of an MLflow server"
        raise EndpointError(f"MLflow: {settings().tracking_uri} {problem}") from None


class _Embedded:
    def __init__(self, file: Path) -> None:
        self._file = file

    def model(self) -> Registered:
        name = names().model
        if not self._rows("SELECT name FROM registered_models WHERE name = ?", name):
            return Registered(None, {})
        tags = {str(key): value for key, value in self._rows("SELECT key, value FROM registered_model_tags WHERE name = ?", name)}
        aliases = self._rows("SELECT alias, version FROM registered_model_aliases WHERE name = ?", name)
        return Registered(str(tags.get(IDENTITY, "")), {str(alias): str(number) for alias, number in aliases})

    def tags(self, number: str) -> Mapping[str, str] | None:
        named = names().model, int(number)
        stage = "SELECT current_stage FROM model_versions WHERE name = ? AND version = ?"
        if not [row for row in self._rows(stage, *named) if row[0] != "Deleted_Internal"]:
            return None
        query = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?"
        return {str(key): str(value or "") for key, value in self._rows(query, *named)}

    def _rows(self, query: str, *values: str | int) -> list[tuple[object, ...]]:
        if not self._file.is_file():
            return []
        try:
            with closing(sqlite3.connect(f"{self._file.resolve().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)) as base:
                return base.execute(query, values).fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error):
                return []
            raise EndpointError(f"MLflow: {self._file}: {error}; run again when it works") from None


class _Client:
    def model(self) -> Registered:
        with answering():
            return Registered(registry.identity(), registry.holders())

    def tags(self, number: str) -> Mapping[str, str] | None:
        with answering():
            try:
                return registry.version(number).tags
            except BadInput:
                return None
