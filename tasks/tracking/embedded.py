"""MLflow's embedded store: one SQLite file, made whole or not at all, and a folder of artifacts beside it."""

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
LOCATIONS = (  # every column with an artifact's address
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
    ("trace_tags", "value"),
)


def make(path: Path) -> None:
    """The store, ready to be opened: made if there is none, its addresses those of this checkout. Several processes may call this at once,
    and any of them may be killed.

    MLflow makes its tables in place and in many steps: a second process that opens the file meanwhile, and everyone after one that died,
    is told of a schema that is out of date. Raises BadInput for a damaged file, WorkspaceBusy for one that is locked.
    """
    private_folder(path.parent)
    with _alone(path.with_name(f"{path.name}.lock")):
        if path.exists():
            private_file(path)  # an earlier version made it readable by everybody
            databases.check(path, holds=HOLDS, loses=LOSES)
            _set_aside_half_made(path)
        if not path.exists():
            store.sweep(path.parent)
            _create(path)
        private_file(path)  # also one that an earlier version made
        _move_addresses(path)


def explained(path: Path, problem: str) -> BadInput | WorkspaceBusy:
    """The line for what SQLite says of the store's file."""
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
    """Turns what the making of a store can end in, such as a full disk, into one line."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        raise databases.explained(path, " ".join(str(error).split())[:200], holds=HOLDS, loses="nothing") from None


def _set_aside_half_made(path: Path) -> None:
    """A store without a version of its tables was cut off while it was made, by a program that made it in place. It holds no run yet."""
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
    """Artifacts are addressed by absolute paths. After a move or a copy of the checkout they are those of the folder beside the file, if
    it came along."""
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
                    base.execute(  # names are those above
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) IN (?, ?)",
                        (here.as_uri(), len(given) + 1, len(given) + 1, f"{given}/", given),
                    )
