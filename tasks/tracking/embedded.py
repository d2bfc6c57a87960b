"""MLflow's embedded store: one SQLite file, created atomically, and a folder of artifacts beside it."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tasks import databases, progress, store
from tasks.schema.errors import BadInput, WorkspaceBusy
from tasks.store import private_file, private_folder

ARTIFACTS = "mlartifacts"
HOLDS = "MLflow's runs and registry"
LOSES = "the history of runs and the registered versions with their aliases, and no data or checkpoint"
LOCATIONS = (  # every column with the address of an artifact
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
    ("trace_tags", "value"),
)


def make(path: Path) -> None:
    """Creates the store if it is missing, and rewrites the artifact paths in it if the checkout was moved.

    Several processes may call it at once, and an earlier call may have been killed.

    MLflow creates its tables in place, in many steps. A process that opens the file during that time, or after the creating process died,
    gets an error about an outdated schema. Raises BadInput for a damaged file, WorkspaceBusy for a locked one.
    """
    private_folder(path.parent)
    with _alone(path.with_name(f"{path.name}.lock")):
        if path.exists():
            private_file(path)  # an earlier version made it readable by other accounts
            databases.check(path, holds=HOLDS, loses=LOSES)
            _set_aside_half_made(path)
        if not path.exists():
            store.sweep(path.parent)
            _create(path)
        private_file(path)  # also one that an earlier version made
        _move_addresses(path)


def explained(path: Path, problem: str) -> BadInput | WorkspaceBusy:
    """The error for SQLite's message about the store's file."""
    return databases.explained(path, problem, holds=HOLDS, loses=LOSES)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    private_file(lock)
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _create(path: Path) -> None:
    from mlflow import MlflowClient

    with store.replacing(path) as scratch:
        private_file(scratch)
        with _told(path):
            MlflowClient(f"sqlite:///{scratch}").search_experiments(max_results=1)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turns errors on creating the store, such as a full disk, into one line."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        raise databases.explained(path, " ".join(str(error).split())[:200], holds=HOLDS, loses="nothing") from None


def _set_aside_half_made(path: Path) -> None:
    """Moves a store without a schema version aside: its creation in place was interrupted, and it has no run yet.

    Raises BadInput if it has runs and its tables are of another MLflow version.
    """
    with databases.readable(path, holds=HOLDS, loses=LOSES), closing(sqlite3.connect(path)) as base:
        tables = {name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        known = "alembic_version" in tables and base.execute("SELECT count(*) FROM alembic_version").fetchone()[0]
        runs = base.execute("SELECT count(*) FROM runs").fetchone()[0] if "runs" in tables else 0
        stamp = base.execute("SELECT version_num FROM alembic_version").fetchone()[0] if known else None
    if stamp == _newest():
        return
    if runs:
        fix = f"keep a copy of the file, then `mlflow db upgrade sqlite:///{path}`"
        raise BadInput(path, f"{HOLDS}: its tables are of another version of MLflow ({stamp})", fix=fix)
    aside = path.with_name(f"{path.name}.half-made")
    os.replace(path, aside)
    progress.say(f"warning: {path}: it was cut off while it was made, and holds no run; moved to {aside}, and made again")


def _newest() -> str:
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())


def _move_addresses(path: Path) -> None:
    """Updates artifact addresses, which are absolute paths, after the checkout was moved or copied with its artifact folder."""
    here = path.parent.resolve() / ARTIFACTS
    if not here.is_dir():
        return
    with databases.readable(path, holds=HOLDS, loses=LOSES), closing(sqlite3.connect(path, timeout=databases.WAIT)) as base:
        rows = base.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        for (given,) in rows:
            if not given or not given.rstrip("/").endswith(f"/{ARTIFACTS}") or given == here.as_uri():
                continue
            with base:
                for table, column in LOCATIONS:
                    base.execute(  # table and column names are from LOCATIONS
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) IN (?, ?)",
                        (here.as_uri(), len(given) + 1, len(given) + 1, f"{given}/", given),
                    )
