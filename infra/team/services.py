"""The services of the back end: each server's command line, environment, port and health check.

Passwords are passed in the environment, because every user of the machine can read command lines.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from infra.team import checks, environment, postgres
from infra.team.postgres import SystemAccount
from tasks.processes import own_path

OWNER = "LONGWRITER_TEAM_OWNER"  # set in the environment of every service, so that processes of a dead owner are found
POOLS = ("cpu", "gpu")
HEARTBEAT = 30  # seconds between a flow run's heartbeats, Prefect's minimum; flows/automations.py detects missing ones
ALIVE = {  # settings of every worker
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT),
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",  # the server's reply while PostgreSQL is down
}


class Service(NamedTuple):
    """A server and its health check: `check` raises `checks.Unwell` with the reason if the server is not healthy."""

    name: str
    port: int
    command: list[str]
    environment: Mapping[str, str]
    check: Callable[[], None]
    ready: Callable[[], None]  # called once, at the first healthy check: prepares what later services need
    account: SystemAccount = SystemAccount(None, None)
    stop: signal.Signals = signal.SIGTERM
    seconds: float = 180.0  # time limit of its start


def all_of(values: Mapping[str, str]) -> list[Service]:
    """All services in the order of their start; later ones depend on earlier ones."""
    return [_postgres(values), _s3(values), _mlflow(values), _prefect(values), *(_worker(values, pool) for pool in POOLS)]


def _postgres(values: Mapping[str, str]) -> Service:
    cluster = postgres.place(environment.folder())
    return Service(
        "postgres",
        _port(values, "POSTGRES"),
        postgres.command(cluster, _port(values, "POSTGRES")),
        _plain(),
        lambda: checks.postgres(values),
        lambda: postgres.make_databases(values),
        postgres.account(),
        signal.SIGINT,  # disconnects clients instead of waiting for them
    )


def _s3(values: Mapping[str, str]) -> Service:
    """rclone's S3 server on plain files. Do not use `--dir-cache-time 0s`: its timers then block the lock that a PUT needs."""
    files = environment.folder() / "s3"
    words = [_beside("rclone"), "serve", "s3", str(files), "--addr", f"127.0.0.1:{_port(values, 'S3')}"]
    keys = f'"{values["AWS_ACCESS_KEY_ID"]},{values["AWS_SECRET_ACCESS_KEY"]}"'
    return Service(
        "s3",
        _port(values, "S3"),
        [*words, "--vfs-cache-mode", "off", "--cache-dir", str(environment.folder() / "rclone")],
        _plain() | {"RCLONE_AUTH_KEY": keys, "RCLONE_CONFIG": str(environment.folder() / "rclone.conf")},
        lambda: checks.s3(values),
        lambda: checks.make_bucket(values),
    )


def _mlflow(values: Mapping[str, str]) -> Service:
    hosts = [spelt for host in values["TEAM_HOSTS"].split(",") for spelt in (host, f"{host}:*")]
    words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(_port(values, "MLFLOW")), "--workers", "1"]
    options = ["--app-name", "basic-auth", "--serve-artifacts", "--allowed-hosts", ",".join(hosts)]
    wanted = {
        "MLFLOW_BACKEND_STORE_URI": postgres.url(values, "mlflow"),
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{values['TEAM_BUCKET']}/mlflow",
        "MLFLOW_S3_ENDPOINT_URL": values["AWS_ENDPOINT_URL_S3"],
        "MLFLOW_AUTH_CONFIG_PATH": str(_auth_config(values)),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves a second process of 240 MB that is not used
        **_picked(values, "AWS_", "MLFLOW_AUTH_", "MLFLOW_FLASK_"),
    }
    return Service(
        "mlflow",
        _port(values, "MLFLOW"),
        [*words, *options],
        _plain() | wanted,
        lambda: checks.mlflow(values),
        lambda: None,
    )


def _auth_config(values: Mapping[str, str]) -> Path:
    """Write MLflow's auth configuration. MLflow reads the URL of its users' database only from a file.

    Without the cache MLflow hashes the password for every request, which takes 0.1 s of CPU; a promotion sends about 200 requests.
    """
    target = environment.folder() / "mlflow-auth.ini"
    text = f"[mlflow]\ndefault_permission = READ\nauth_cache_ttl_seconds = 60\ndatabase_uri = {postgres.url(values, 'mlflow_auth')}\n"
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return target


def _prefect(values: Mapping[str, str]) -> Service:
    port = _port(values, "PREFECT")
    words = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    wanted = {
        "PREFECT_HOME": str(environment.folder() / "prefect"),
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres.url(values, "prefect", driver="postgresql+asyncpg"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        **_picked(values, "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"),  # the server's own services are its clients
    }
    return Service(
        "prefect",
        port,
        [*words, "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"],
        _plain() | wanted,
        lambda: checks.prefect(values),
        lambda: None,
    )


def _worker(values: Mapping[str, str], pool: str) -> Service:
    port = _port(values, f"WORKER_{pool.upper()}")
    words = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", f"team-{pool}"]
    return Service(
        f"worker-{pool}",
        port,
        [*words, "--limit", "1", "--with-healthcheck"],
        worker_environment(values, environment.folder() / "workspaces" / pool, port=port),
        lambda: checks.worker(values, pool, port),
        lambda: None,
    )


def worker_environment(values: Mapping[str, str], workspace: Path, *, port: int) -> dict[str, str]:
    """Environment of a worker in its clone: the servers' addresses, and heartbeats."""
    return {
        **_plain(),
        **_picked(values, "AWS_", "MLFLOW_TRACKING_", "LONGWRITER_", "PREFECT_API_"),
        "LONGWRITER_WORKSPACE": str(workspace),
        "LONGWRITER_HOME": str(workspace / ".longwriter"),
        "LONGWRITER_WORKSPACE_REF": "HEAD",
        "PREFECT_HOME": str(environment.folder() / "prefect"),
        "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",  # the default is all interfaces
        "PREFECT_WORKER_WEBSERVER_PORT": str(port),
        **ALIVE,
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    }


def _plain() -> dict[str, str]:
    """The current environment without Prefect, MLflow and pipeline settings, which come only from team.env."""
    others = ("PREFECT_", "MLFLOW_", "LONGWRITER_", "RCLONE_", "PG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return kept | {"PATH": own_path(), OWNER: str(environment.folder()), "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}


def _picked(values: Mapping[str, str], *prefixes: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if name.startswith(prefixes)}


def _port(values: Mapping[str, str], name: str) -> int:
    return int(values[f"TEAM_{name}_PORT"])


def _beside(program: str) -> str:
    """The path of a program in the virtual environment."""
    return str(Path(sys.executable).parent / program)
