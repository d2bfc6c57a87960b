"""Opens MLflow: the server that the settings name, or SQLite and a folder of artifacts under the settings' home."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tasks import databases
from tasks.schema.errors import EndpointError
from tasks.schema.redaction import redact
from tasks.schema.settings import settings
from tasks.tracking import embedded

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAMES = Path(__file__).parents[2] / "mlflow" / "names.yaml"


class Aliases(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    champion: str
    challenger: str
    previous: str  # the champion before this one


class Names(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    model: str
    aliases: Aliases


@cache
def names() -> Names:
    """mlflow/names.yaml: what the experiment, the registered model and its aliases are called."""
    from ruamel.yaml import YAML

    return Names.model_validate(YAML(typ="safe").load(NAMES.read_text(encoding="utf-8")))


def uri() -> str:
    """Where runs and versions are kept. A database's has its password in it: not for logs, see `shown_uri`."""
    given = settings().tracking_uri
    return (str(given) if given.is_http else given.full.get_secret_value()) or shown_uri()


def shown_uri() -> str:
    """The same without credentials; also what `mlflow ui --backend-store-uri` is given for the embedded store."""
    return str(settings().tracking_uri) or f"sqlite:///{embedded_file()}"


def connect() -> "MlflowClient":
    """A client, with MLflow's process-wide URIs set to match: artifact paths such as models:/… are resolved by those.

    Raises EndpointError when a server that the settings name does not answer, or answers with an error.
    """
    import mlflow

    _sign_in()
    mlflow.set_tracking_uri(uri())
    mlflow.set_registry_uri(uri())
    return _client(uri())


def _sign_in() -> None:
    """A server's user and password, where its URL has them, as MLflow's own variables: child processes inherit them."""
    given = settings().tracking_uri
    user, _, password = given.user_info.get_secret_value().partition(":")
    if given.is_http and user:
        os.environ |= {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


@contextmanager
def answering() -> Iterator[None]:
    """Turns an error of MLflow's within the block into one line: EndpointError; BadInput or WorkspaceBusy for the embedded store's file."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, UnicodeDecodeError) as error:
        problem = redact(" ".join(str(error).split()))[:400]
        if not settings().tracking_uri and (databases.is_damage(problem) or isinstance(error, UnicodeDecodeError)):
            raise embedded.explained(embedded_file(), problem[:200]) from None
        raise EndpointError(f"MLflow: {problem}; run again when it works") from None


def embedded_file() -> Path:
    """The embedded store's database."""
    return settings().home.resolve() / "mlflow.db"


@cache
def _client(address: str) -> "MlflowClient":
    import logging

    import mlflow

    for chatty in ("alembic", "mlflow.store.db.utils"):  # a line for each of the embedded store's migrations
        logging.getLogger(chatty).setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its own default keeps a refused connection waiting for minutes
    if not settings().tracking_uri:
        embedded.make(embedded_file())
    with _opened(address):
        client = mlflow.MlflowClient(tracking_uri=address, registry_uri=address)
        client.search_experiments(max_results=1)
    return client


@contextmanager
def _opened(address: str) -> Iterator[None]:
    """Turns what opening a store can end in into one line. Raises EndpointError, BadInput, WorkspaceBusy."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, UnicodeDecodeError) as error:
        problem = redact(str(error).splitlines()[0].replace(address, "the server"))[:200]  # the address may carry a password
        if not settings().tracking_uri:
            raise embedded.explained(embedded_file(), problem) from None
        raise EndpointError(f"MLflow: {problem}; check LONGWRITER_TRACKING_URI, or unset it for the embedded store") from None


def experiment(client: "MlflowClient") -> str:
    """The experiment's id; it is created when it is not there."""
    if found := client.get_experiment_by_name(names().experiment):
        return str(found.experiment_id)
    location = None if settings().tracking_uri else (settings().home.resolve() / embedded.ARTIFACTS).as_uri()
    return str(client.create_experiment(names().experiment, artifact_location=location))
