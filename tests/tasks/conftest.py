"""What tests of stages share."""

import shutil
from pathlib import Path

import pytest

from tasks.schema.settings import settings


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with its tables and nothing in them: making one takes seconds, copying one nothing."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_home(empty_store: Path) -> Path:
    """The test's own home, with an MLflow store in it."""
    home = settings().home
    home.mkdir()
    shutil.copy(empty_store, home / "mlflow.db")
    return home
