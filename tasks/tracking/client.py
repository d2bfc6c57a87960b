"""Opens MLflow: the server named in the settings, or SQLite and a folder of artifacts under settings.home."""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict

from tasks import databases
from tasks.schema.errors import EndpointError
from tasks.schema.redaction import redact
from tasks.schema.settings import settings
from tasks.tracking import embedded

if TYPE_CHECKING:
    from mlflow import MlflowClient

RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"  # MLflow reads it for each request
UNANSWERED = re.compile(r"API request to https?://(?P<server>[^/\s]+)(?:/\S*)? failed with (?:timeout )?exception (?P<cause>.*)")
ERRNO = re.compile(r"\[Errno -?\d+\] ([^'\")]+)")
TRIES = 3  # of creating something
EXISTS, GONE = "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"  # MLflow's error codes
NAMES = Path(__file__).parents[2] / "mlflow" / "names.yaml"


T = TypeVar("T")


class Aliases(BaseModel):
    """Names of the registry's aliases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    champion: str
    challenger: str
    previous: str  # the champion before this one


class Names(BaseModel):
    """Names that this project uses in MLflow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    model: str
    aliases: Aliases


@cache
def names() -> Names:
    """mlflow/names.yaml: the names of the experiment, the registered model and its aliases."""
    from ruamel.yaml import YAML

    return Names.model_validate(YAML(typ="safe").load(NAMES.read_text(encoding="utf-8")))


def uri() -> str:
    """The address of the store. A database address contains its password: for logs use `shown_uri`."""
    given = settings().tracking_uri
    return (str(given) if given.is_http else given.full.get_secret_value()) or shown_uri()


def shown_uri() -> str:
    """The address without credentials. Also the value of `mlflow ui --backend-store-uri` for the embedded store."""
    return str(settings().tracking_uri) or f"sqlite:///{embedded_file()}"


def connect() -> "MlflowClient":
    """Returns a client, and sets MLflow's process-wide URIs, which resolve artifact paths such as models:/….

    Raises EndpointError if the server named in the settings does not answer, or answers with an error.
    """
    import mlflow

    _sign_in()
    mlflow.set_tracking_uri(uri())
    mlflow.set_registry_uri(uri())
    return _client(uri())


def _sign_in() -> None:
    """Sets MLflow's user and password variables from the server's URL. Child processes inherit them."""
    given = settings().tracking_uri
    user, _, password = given.user_info.get_secret_value().partition(":")
    if given.is_http and user:
        os.environ |= {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


@contextmanager
def sent_once() -> Iterator[None]:
    """Requests in the block are sent once. MLflow repeats a request without a reply, even if it was carried out and creates something."""
    before = os.environ.get(RETRIES)
    os.environ[RETRIES] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[RETRIES]
        else:
            os.environ[RETRIES] = before


def created(make: Callable[[], T], find: Callable[[], T | None]) -> T:
    """Returns what `make` creates. MLflow's requests that create something may be carried out without a reply.

    So after a failure the created thing is looked for with `find`, before it is created again, TRIES times in all. Both raise
    MlflowException on failure.
    """
    from mlflow.exceptions import MlflowException

    for left in reversed(range(TRIES)):
        try:
            with sent_once():
                return make()
        except MlflowException:
            if (found := find()) is not None:
                return found
            if not left:
                raise
    raise AssertionError("unreachable")


def shown_error(text: str) -> str:
    """An error of MLflow in one line without secrets. A request without a reply: the server, and why, without addresses and tries."""
    line = redact(" ".join(text.split()))
    found = UNANSWERED.search(line)
    if not found:
        return line
    cause = found["cause"].rpartition("Caused by ")[2]
    errno = ERRNO.search(cause)
    return f"no reply from {found['server'].rpartition('@')[2]} ({errno[1].strip() if errno else cause[:150]})"


@contextmanager
def answering() -> Iterator[None]:
    """Turns an MLflow error in the block into a one-line EndpointError; BadInput or WorkspaceBusy for the embedded store's file."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, UnicodeDecodeError) as error:
        problem = shown_error(str(error))[:400]
        if not settings().tracking_uri and (databases.is_damage(problem) or isinstance(error, UnicodeDecodeError)):
            raise embedded.explained(embedded_file(), problem[:200]) from None
        raise EndpointError(f"MLflow: {problem}; run again when it works") from None


def embedded_file() -> Path:
    """The path of the embedded store's database."""
    return settings().home.resolve() / "mlflow.db"


@cache
def _client(address: str) -> "MlflowClient":
    import logging

    import mlflow

    for chatty in ("alembic", "mlflow.store.db.utils"):  # they log a line for every migration of the embedded store
        logging.getLogger(chatty).setLevel(logging.WARNING)
    os.environ.setdefault(RETRIES, "3")  # with MLflow's default a refused connection takes minutes
    if not settings().tracking_uri:
        embedded.make(embedded_file())
    with _opened(address):
        client = mlflow.MlflowClient(tracking_uri=address, registry_uri=address)
        client.search_experiments(max_results=1)
    return client


@contextmanager
def _opened(address: str) -> Iterator[None]:
    """Turns errors on opening a store into one line. Raises EndpointError, BadInput or WorkspaceBusy."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, UnicodeDecodeError) as error:
        problem = shown_error(str(error).splitlines()[0].replace(address, "the server"))[:200]  # the address may contain a password
        if not settings().tracking_uri:
            raise embedded.explained(embedded_file(), problem) from None
        raise EndpointError(f"MLflow: {problem}; check LONGWRITER_TRACKING_URI, or unset it for the embedded store") from None


def experiment(client: "MlflowClient") -> str:
    """The experiment's id. Creates the experiment if it does not exist. A server is asked once."""
    return _of_server(client, uri()) if uri().startswith("http") else _experiment(client)


@cache
def _of_server(client: "MlflowClient", address: str) -> str:
    return _experiment(client)


def _experiment(client: "MlflowClient") -> str:
    from mlflow.exceptions import MlflowException

    if found := client.get_experiment_by_name(names().experiment):
        return str(found.experiment_id)
    location = None if settings().tracking_uri else (settings().home.resolve() / embedded.ARTIFACTS).as_uri()
    try:
        return str(client.create_experiment(names().experiment, artifact_location=location))
    except MlflowException as error:
        if error.error_code == EXISTS and (found := client.get_experiment_by_name(names().experiment)):
            return str(found.experiment_id)  # another machine created it, or the reply to an earlier try was lost
        raise
