"""MLflow's embedded store: one SQLite file, made whole or not at all."""

import os
from pathlib import Path

from tasks.store import private_file, private_folder


def make(path: Path) -> None:
    """The store's tables, unless they are there. Several processes may do so at once, and any of them may be killed.

    MLflow makes them in place and in many steps: a second process that opens the file meanwhile, and everyone after one that died,
    is told of a schema that is out of date.
    """
    from mlflow import MlflowClient

    if path.exists():
        return
    private_folder(path.parent)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        private_file(scratch)
        MlflowClient(f"sqlite:///{scratch}").search_experiments(max_results=1)
        os.link(scratch, path)
    except FileExistsError:  # another process was quicker
        return
    finally:
        scratch.unlink(missing_ok=True)
