"""MLflow's embedded store is complete or absent; a damaged or locked one gives one line; it can be moved with its checkout."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import databases
from tasks.schema.errors import WorkspaceBusy
from tasks.schema.settings import settings
from tasks.tracking import client, embedded, registry, runs
from tests.conftest import ROOT

MAKE = "import sys; from pathlib import Path; from tasks.tracking import embedded; embedded.make(Path(sys.argv[1]))"


def start(path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", MAKE, str(path)], cwd=ROOT, stderr=subprocess.DEVNULL)


def listed(home: Path) -> "subprocess.CompletedProcess[str]":
    """`longwriter models list`, as a user has it."""
    environment = os.environ | {"LONGWRITER_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tasks.tracking", "models"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.integration
def test_a_store_is_made_whole_though_several_processes_want_it_at_once_and_some_are_killed() -> None:
    from mlflow import MlflowClient

    path = settings().home / "mlflow.db"
    for pause in (0.0, 0.3, 1.0):
        maker = start(path)
        while maker.poll() is None and not list(settings().home.glob(".mlflow.db.*")):
            time.sleep(0.02)
        time.sleep(pause)
        maker.kill()
        maker.wait()
    makers = [start(path) for _ in range(3)]
    assert [maker.wait() for maker in makers] == [0, 0, 0]
    assert MlflowClient(f"sqlite:///{path}").search_experiments()[0].name == "Default"
    assert not list(settings().home.glob(".mlflow.db.*")), "what killed processes left is gone"


def half_made(path: Path) -> None:
    """As a process leaves it that is killed while MLflow makes the tables in place."""
    path.unlink()
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT)")
        base.execute("CREATE TABLE runs (run_uuid TEXT)")


@pytest.mark.parametrize("how", [half_made, lambda path: path.write_bytes(b"")])
def test_a_store_that_was_cut_off_while_it_was_made_is_made_again(mlflow_home: Path, how: Callable[[Path], None]) -> None:
    how(mlflow_home / "mlflow.db")
    embedded.make(mlflow_home / "mlflow.db")
    assert runs.record("train", "abc")
    assert (mlflow_home / "mlflow.db.half-made").exists()


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(5000))


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(4096, len(data), 3001):
        data[place] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.integration
@pytest.mark.parametrize("how", [garbage, half, flipped])
def test_a_damaged_store_is_one_line_that_says_what_is_lost_and_what_to_do(mlflow_home: Path, how: Callable[[Path], None]) -> None:
    path = mlflow_home / "mlflow.db"
    how(path)
    done = listed(mlflow_home)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    for said in (f"error: {path}: MLflow's runs and registry: damaged (", f"`mv {path} {path}.damaged`", "this loses the history of runs"):
        assert said in done.stderr
    path.rename(f"{path}.damaged")
    assert listed(mlflow_home).returncode == 0, "what the line says helps"


def test_a_store_that_another_process_keeps_locked_is_one_line(mlflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "WAIT", 0.2)
    holder = sqlite3.connect(mlflow_home / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(WorkspaceBusy, match=r"mlflow\.db \(MLflow's runs and registry\): another process keeps it locked; fix: end that"):
        embedded.make(mlflow_home / "mlflow.db")
    holder.close()


@pytest.mark.integration
def test_the_champion_of_a_moved_checkout_is_loaded_from_where_it_lies_now(mlflow_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    run = runs.record("train", "abc", artifacts=[folder / "config.json"])
    version = registry.register(folder, run_id=run, tags={})
    client.connect().set_registered_model_alias(client.names().model, "champion", version.number)
    moved = tmp_path / "another place" / "home"
    moved.parent.mkdir()
    shutil.copytree(mlflow_home, moved)
    shutil.rmtree(mlflow_home)
    code = (
        "from tasks.tracking import client, registry\n"
        "print((registry.fetch('models:/longwriter@champion') / 'model.safetensors').read_bytes().decode())\n"
        "one = client.connect()\n"
        f"print([entry.path for entry in one.list_artifacts({run!r})])\n"
        f"print(one.get_run({run!r}).info.artifact_uri)"
    )
    environment = os.environ | {"LONGWRITER_HOME": str(moved), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    weights, listed, address = done.stdout.splitlines()
    assert (weights, listed) == ("weights", "['config.json']")
    assert address.startswith((moved / "mlartifacts").as_uri())


@pytest.mark.integration
def test_a_full_disk_while_the_store_is_made_is_one_line() -> None:
    import resource

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    environment = os.environ | {"LONGWRITER_HOME": str(settings().home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tasks.tracking", "models"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, preexec_fn=small)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "mlflow.db" in done.stderr
    assert not list(settings().home.glob(".mlflow.db.*"))
