"""Fixtures of all tests: every test has its own state folder, and none of the user's LONGWRITER_ variables."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tasks.schema import redaction
from tasks.schema.settings import PREFIX, settings
from tests.made_data import make as made_files

ROOT = Path(__file__).parent.parent

# A run in a shell's background begins with Ctrl-C ignored, and the processes that tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A stage's recorder imports MLflow: five seconds of CPU for each stage that runs, or that a fixture starts.
QUICK = {f"{PREFIX}RECORD_AFTER": "3600"}
os.environ |= QUICK

# Machines are shared: how long an example takes says nothing. The suite is the same in every run; HYPOTHESIS_PROFILE=explore draws anew.
hypothesis_settings.register_profile("fixed", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.register_profile("explore", deadline=None, max_examples=2_000, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


SHARED = ROOT.parent / "shared" / "data"
NOT_HERE = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data, the authors' own files, is not on this machine")


@pytest.fixture(scope="session")
def made_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files in the authors' forms (made_data.py)."""
    return made_files(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session", params=["made", pytest.param("authors", marks=[NOT_HERE, pytest.mark.slow])])
def data(request: pytest.FixtureRequest) -> Path:
    """The folder of made files, and where they are at hand that of the authors' own."""
    return SHARED if request.param == "authors" else Path(request.getfixturevalue("made_data"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes by their argument's name: what is compressed has the time in it, and two workers would collect different tests."""
    return argname if isinstance(val, bytes) else None


def descendants(word: str, *, of: int | None = None) -> list[psutil.Process]:
    """The processes below this one, or below `of`, that have this word in their command. Some live for moments only."""
    found = []
    for process in psutil.Process(of).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found += [process] if word in process.cmdline() else []
    return found


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if (name.startswith(PREFIX) and name not in QUICK) or name == "OPENAI_API_KEY"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(f"{PREFIX}HOME", str(tmp_path / "home"))
    monkeypatch.setenv(f"{PREFIX}SERVER", "transformers")  # whether or not the extra llamacpp is installed
    monkeypatch.setattr(redaction, "_registered", set())  # keys of other tests' servers and URLs are no secrets here
    settings.cache_clear()
    yield
    settings.cache_clear()


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
