"""Canaries: secrets planted in every setting that can hold one are nowhere in what a run leaves behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.schema.settings import Settings
from tests.conftest import ROOT
from tests.tasks.storage import servers

SECRETS = [f"LONGWRITER_{name.upper()}" for name, field in Settings.model_fields.items() if field.annotation is SecretStr]
PLANTED = {
    **{name: f"canary-{number}-9f3c61" for number, name in enumerate(SECRETS)},
    "OPENAI_API_KEY": "canary-openai-9f3c61",
    "AWS_SECRET_ACCESS_KEY": servers.SECRET,
    "AWS_SESSION_TOKEN": "canary-session-9f3c61",
    "HF_TOKEN": "canary-hf-9f3c61",
    "MLFLOW_TRACKING_PASSWORD": "canary-mlflow-9f3c61",
    "PREFECT_API_AUTH_STRING": "admin:canary-prefect-9f3c61",
}
CANARY = re.compile("|".join(re.escape(value) for value in {*PLANTED.values(), "canary-prefect-9f3c61"}).encode())


def hits(folder: Path) -> list[str]:
    """Files with a planted secret in their bytes: logs, SQLite files and their journals, artifacts, archives' names."""
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file() and CANARY.search(path.read_bytes())]


def test_the_settings_that_hold_secrets_are_known() -> None:
    assert len(SECRETS) >= 5


@pytest.mark.e2e
@pytest.mark.slow
def test_a_run_with_planted_secrets_leaves_none_behind(tmp_path: Path) -> None:
    """The dataset flow on a clone, through Prefect's embedded API, the rehearsal endpoint, MLflow's store and an S3 server."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    (tmp_path / "server").mkdir()
    with servers.rclone(tmp_path / "server") as url:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LONGWRITER_", "AWS_", "PREFECT_"))}
        environment |= {key: value for key, value in PLANTED.items() if key not in ("AWS_SESSION_TOKEN", "PREFECT_API_AUTH_STRING")}
        environment |= {
            "AWS_ACCESS_KEY_ID": servers.KEY,
            "AWS_CONFIG_FILE": os.devnull,
            "LONGWRITER_S3_ENDPOINT": url,
            "LONGWRITER_STORE": "s3://bucket/team",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        made = [sys.executable, "-m", "tasks.storage", "bucket", "--plain"]
        subprocess.run(made, cwd=clone, env=environment, check=True, capture_output=True)
        done = subprocess.run([sys.executable, "-m", "flows.dataset", "--push"], cwd=clone, env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr[-2000:]
        listed = subprocess.run([sys.executable, "-m", "tasks.storage", "list"], cwd=clone, env=environment, capture_output=True)
        assert b"dataset/" in listed.stdout
    assert not CANARY.search(done.stdout + done.stderr + listed.stdout + listed.stderr)
    assert (clone / ".longwriter").is_dir()
    assert hits(tmp_path) == []


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_a_refused_publication_tells_no_credential(name: str, rclone: tuple[str, Path], tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")} | PLANTED
    environment |= {"AWS_ACCESS_KEY_ID": servers.KEY, "LONGWRITER_S3_ENDPOINT": rclone[0], "LONGWRITER_STORE": "s3://bucket-of-none/x"}
    environment[name] = "canary-openai-9f3c61"
    done = subprocess.run([sys.executable, "-m", "tasks.storage", "list"], cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ")
    assert not CANARY.search(done.stdout + done.stderr)
