"""Canary secrets in every setting that can contain one are found nowhere in a run's files and output."""

import gzip
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import canaries
from tests.canaries import PLANTED, hits
from tests.conftest import ROOT
from tests.tasks.storage import servers

SESSION, PREFECT = canaries.canary("session"), canaries.canary("prefect")
CANARY = canaries.search(servers.SECRET, SESSION, PREFECT, *canaries.in_urls())


def test_the_settings_that_hold_secrets_are_known() -> None:
    assert len(canaries.SETTINGS) >= 5


def test_the_search_finds_a_secret_in_a_log_a_database_and_a_packed_file(tmp_path: Path) -> None:
    secret = next(iter(PLANTED.values()))
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "run.log").write_text(f"Authorization: {secret}\n")
    with sqlite3.connect(tmp_path / "runs.db") as database:
        database.execute("CREATE TABLE tags (value TEXT)")
        database.execute("INSERT INTO tags VALUES (?)", [secret])
    (tmp_path / "trace.json.gz").write_bytes(gzip.compress(secret.encode()))
    (tmp_path / "clean.txt").write_text("canary")
    assert hits(tmp_path, CANARY) == ["log/run.log", "runs.db", "trace.json.gz"]


@contextmanager
def teacher() -> Iterator[str]:
    """The rehearsal endpoint as a process of its own; its URL."""
    with socket.socket() as evaluate_general:
        evaluate_general.bind(("127.0.0.1", 0))
        port = int(evaluate_general.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "tasks.rehearsal.endpoint", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_run_with_planted_secrets_leaves_none_behind(tmp_path: Path) -> None:
    """The dataset flow on a clone, through Prefect's embedded API, the rehearsal endpoint, MLflow's store, DVC's remote and an S3
    server. The stages behind it: tests/e2e/test_pipeline.py."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    (tmp_path / "server").mkdir()
    (tmp_path / "aws.ini").touch()  # DVC takes no device in its place
    with servers.rclone(tmp_path / "server") as url, teacher() as answering:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LONGWRITER_", "AWS_", "PREFECT_"))}
        environment |= PLANTED | {
            "AWS_ACCESS_KEY_ID": servers.KEY,
            "AWS_SECRET_ACCESS_KEY": servers.SECRET,
            "AWS_CONFIG_FILE": str(tmp_path / "aws.ini"),
            "LONGWRITER_S3_ENDPOINT": url,
            "LONGWRITER_STORE": "s3://bucket/team",
            # Teacher and selector are asked with credentials in their URLs; the others' are read only.
            **{f"LONGWRITER_{role}_URL": canaries.with_credentials(answering) for role in ("TEACHER", "SELECTOR", "JUDGE", "CANDIDATE")},
            "HTTPS_PROXY": f"http://me:{canaries.IN_URLS['proxy-password']}@127.0.0.1:9",
            "NO_PROXY": "localhost,127.0.0.1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        for role in ("TEACHER", "SELECTOR", "JUDGE", "CANDIDATE"):  # an endpoint takes a key, or what its URL has
            del environment[f"LONGWRITER_{role}_API_KEY"]

        def said(*words: str) -> bytes:
            done = subprocess.run([sys.executable, "-m", *words], cwd=clone, env=environment, capture_output=True)
            assert done.returncode == 0, done.stderr[-2000:]
            return done.stdout + done.stderr

        said("tasks.storage", "bucket", "--plain")
        said("dvc", "remote", "add", "--local", "--default", "team", "s3://bucket/dvc")
        said("dvc", "remote", "modify", "--local", "team", "endpointurl", url)
        seen = said("flows.cli", "flow", "dataset", "--push")
        assert b"dataset/" in (listed := said("tasks.storage", "list"))
    assert not CANARY.search(seen + listed)
    assert (clone / ".longwriter").stat().st_mode & 0o777 == 0o700
    for path in (clone / ".longwriter").glob("**/*.db"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (clone / ".longwriter" / "prefect").is_dir()
    assert list((tmp_path / "server" / "s3" / "bucket" / "dvc").rglob("*.dir"))
    assert hits(tmp_path, CANARY) == []


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_a_refused_publication_tells_no_credential(name: str, rclone: tuple[str, Path], tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")} | PLANTED
    environment |= {"AWS_ACCESS_KEY_ID": servers.KEY, "LONGWRITER_S3_ENDPOINT": rclone[0], "LONGWRITER_STORE": "s3://bucket-of-none/x"}
    environment |= {"AWS_SECRET_ACCESS_KEY": servers.SECRET, "AWS_SESSION_TOKEN": SESSION, "PREFECT_API_AUTH_STRING": f"admin:{PREFECT}"}
    environment[name] = PLANTED["OPENAI_API_KEY"]
    done = subprocess.run([sys.executable, "-m", "tasks.storage", "list"], cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ")
    assert not CANARY.search(done.stdout + done.stderr)
