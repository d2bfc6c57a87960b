"""MLflow's embedded store is whole or not there."""

import subprocess
import sys
import time

from tasks.schema.settings import settings
from tests.conftest import ROOT


def test_a_store_is_made_whole_though_several_processes_want_it_at_once_and_one_is_killed() -> None:
    from mlflow import MlflowClient

    script = "import sys; from pathlib import Path; from tasks.tracking import embedded; embedded.make(Path(sys.argv[1]))"
    path = settings().home / "mlflow.db"
    makers = [subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=ROOT, stderr=subprocess.DEVNULL) for _ in range(3)]
    while not list(settings().home.glob(".mlflow.db.*")):
        time.sleep(0.05)
    makers[0].kill()
    assert [maker.wait() for maker in makers[1:]] == [0, 0]
    assert MlflowClient(f"sqlite:///{path}").search_experiments()[0].name == "Default"
