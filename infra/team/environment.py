"""team.env: all addresses, ports and secrets of the back end, for its servers and clients, `docker compose --env-file`, and your shell.

It is written once, with random secrets, and only its owner can read it.
"""

import os
import re
import secrets
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tasks.schema.errors import BadInput
from tasks.schema.settings import settings

PORTS = {"POSTGRES": 15432, "S3": 19000, "MLFLOW": 15000, "PREFECT": 14200, "WORKER_CPU": 18081, "WORKER_GPU": 18082}
URLS = {"AWS_ENDPOINT_URL_S3": "S3", "LONGWRITER_TRACKING_URI": "MLFLOW", "PREFECT_API_URL": "PREFECT"}  # variable: name of its port
REFERENCE = re.compile(r"\$\{(\w+)\}")  # reference to an earlier value, as in shells and compose
BUCKET = "longwriter"
HEAD = """\
# The team's back end: `longwriter team up`, or docker compose --env-file THIS -f infra/compose.yaml up.
# For your shell and your scripts:  set -a; . THIS; set +a
# A port is changed in one place, its TEAM_*_PORT line: the addresses below follow it.
# Secrets: this file is for its owner alone. Written by `longwriter team env`, which never changes a value in it.
"""


def folder() -> Path:
    """The folder of the back end's data, logs and team.env."""
    return settings().home.resolve() / "team"


def path() -> Path:
    return folder() / "team.env"


def ensure(*, free_ports: bool = False) -> dict[str, str]:
    """The values of team.env; writes the file if it does not exist. Raises BadInput as `load`."""
    target = path()
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, fresh(_free() if free_ports else PORTS))
    return load(target)


def load(target: Path) -> dict[str, str]:
    """The values of a file of NAME=value lines, in which ${NAME} is an earlier value.

    Raises BadInput if the file is missing or others can read it, for a malformed line, a missing name, or an address on a wrong port.
    """
    if not target.is_file():
        raise BadInput(target, "no such file", fix="longwriter team env")
    if stat.S_IMODE(target.stat().st_mode) & 0o077:
        raise BadInput(target, "other accounts can read it, and it contains passwords", fix=f"chmod 600 {target}")
    values: dict[str, str] = {}
    for number, line in enumerate(target.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, is_there, value = line.partition("=")
        if not is_there or not name.isidentifier():
            raise BadInput(target, "not NAME=value", line=number, fix="correct the line, or remove the file and longwriter team env")
        values[name] = REFERENCE.sub(lambda found: values.get(found[1], found[0]), value)
    _check_urls(target, values)
    missing = [name for name in fresh(PORTS) if not values.get(name)]
    if missing:
        raise BadInput(target, "missing", field=missing[0], fix="add it, or remove the file and longwriter team env")
    return values


def _check_urls(target: Path, values: Mapping[str, str]) -> None:
    """Raises BadInput for a loopback URL on another port than its server's, because clients would send their keys to another server."""
    for name, port in URLS.items():
        parts = urlsplit(values.get(name, ""))
        wanted = values.get(f"TEAM_{port}_PORT", "")
        if parts.hostname in ("127.0.0.1", "localhost") and wanted and str(parts.port) != wanted:
            problem = f"port {parts.port}, but TEAM_{port}_PORT is {wanted}"
            raise BadInput(target, problem, field=name, fix=f"write ${{TEAM_{port}_PORT}} instead of the number")


def fresh(ports: Mapping[str, int]) -> dict[str, str]:
    """New secrets and addresses for these ports. Secrets contain only hex digits, because they appear in URLs and env files."""
    mlflow, prefect, keys = secrets.token_hex(16), secrets.token_hex(16), (secrets.token_hex(10), secrets.token_hex(20))
    return {
        **{f"TEAM_{name}_PORT": str(port) for name, port in ports.items()},
        "TEAM_BUCKET": BUCKET,
        "TEAM_HOSTS": "localhost,127.0.0.1",
        "POSTGRES_USER": "longwriter",
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "AWS_ACCESS_KEY_ID": keys[0],
        "AWS_SECRET_ACCESS_KEY": keys[1],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:${TEAM_S3_PORT}",
        "LONGWRITER_STORE": f"s3://{BUCKET}/releases",
        "LONGWRITER_CHECKPOINT_STORE": f"s3://{BUCKET}/checkpoints",
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": mlflow,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": mlflow,
        "LONGWRITER_TRACKING_URI": "http://127.0.0.1:${TEAM_MLFLOW_PORT}",
        "PREFECT_SERVER_API_AUTH_STRING": f"team:{prefect}",
        "PREFECT_API_AUTH_STRING": f"team:{prefect}",
        "PREFECT_API_URL": "http://127.0.0.1:${TEAM_PREFECT_PORT}/api",
    }


def _write(target: Path, values: Mapping[str, str]) -> None:
    """Write the file atomically, readable by its owner only from the beginning."""
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    text = HEAD.replace("THIS", str(target)) + "".join(f"{name}={value}\n" for name, value in values.items())
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(target)


def _free() -> dict[str, int]:
    """Ports that are free now, for tests and for a second back end on one machine."""
    probes = {name: socket.socket() for name in PORTS}
    for probe in probes.values():
        probe.bind(("127.0.0.1", 0))
    found = {name: int(probe.getsockname()[1]) for name, probe in probes.items()}
    for probe in probes.values():
        probe.close()
    return found
