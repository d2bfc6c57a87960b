"""Run PostgreSQL from its own binaries. A cluster is created once, with a password and for loopback only.

PostgreSQL refuses to run as root, so root starts it under an unprivileged account.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.schema.errors import BadSettings, ServerError

if TYPE_CHECKING:
    from psycopg2.extensions import connection

DATABASES = ("mlflow", "mlflow_auth", "prefect")
DEBIAN = "/usr/lib/postgresql"  # Debian's folder of binaries, which is not on PATH
ROOTS_OWN = Path("/var/lib/longwriter")


class SystemAccount(NamedTuple):
    """The account that runs the server; None: the current user."""

    uid: int | None
    gid: int | None


def account() -> SystemAccount:
    """The current user; for root `postgres` or `nobody`. Raises BadSettings if root has neither."""
    if os.geteuid() != 0:
        return SystemAccount(None, None)
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return SystemAccount(found.pw_uid, found.pw_gid)
    raise BadSettings("PostgreSQL does not run as root, and there is no account `postgres` or `nobody`; start as another user")


def binary(name: str) -> str:
    """The path of one of PostgreSQL's programs. Raises BadSettings if it is not installed."""
    newest = sorted(Path(DEBIAN).glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3].partition(".")[0]), reverse=True)
    found = shutil.which(name) or next(map(str, newest), None)
    if not found:
        raise BadSettings(f"PostgreSQL's {name} is not installed; apt-get install postgresql, or put its bin folder on PATH")
    return found


def place(home: Path) -> Path:
    """The cluster's folder: under `home`, or under /var/lib if the server's account cannot reach root's home."""
    who = account()
    if who.uid is None or _reachable(home, who):
        return home / "postgres"
    return ROOTS_OWN / sha256(str(home).encode()).hexdigest()[:12] / "postgres"


def _reachable(folder: Path, who: SystemAccount) -> bool:
    for one in (folder, *folder.parents):
        found = one.stat()
        may = 0o100 if found.st_uid == who.uid else 0o010 if found.st_gid == who.gid else 0o001
        if not found.st_mode & may:
            return False
    return True


def make(cluster: Path, values: Mapping[str, str]) -> None:
    """Create the cluster if it does not exist, and move it into place when complete. Raises ServerError with initdb's own line."""
    if (cluster / "PG_VERSION").exists():
        return
    who = account()
    cluster.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".initdb-", dir=cluster.parent) as folder:
        scratch, password = Path(folder), Path(folder) / "password"
        password.touch(mode=0o600)
        password.write_text(values["POSTGRES_PASSWORD"])
        for owned in (scratch, password):
            _give(owned, who)
        words = [binary("initdb"), "-D", str(scratch / "postgres"), "--username", values["POSTGRES_USER"], "--pwfile", str(password)]
        done = subprocess.run(
            [*words, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"],
            capture_output=True,
            text=True,
            cwd="/",
            user=who.uid,
            group=who.gid,
            extra_groups=[] if who.uid is not None else None,
        )
        if done.returncode:
            raise ServerError(f"initdb: {(done.stderr.strip().splitlines() or ['ended without any output'])[-1]}")
        (scratch / "postgres").rename(cluster)


def _give(owned: Path, who: SystemAccount) -> None:
    if who.uid is not None and who.gid is not None:
        os.chown(owned, who.uid, who.gid)


def command(cluster: Path, port: int) -> list[str]:
    """The server's command line: loopback only, without a socket file, because the file's path could be too long."""
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "max_connections": 200}
    return [binary("postgres"), "-D", str(cluster), *(word for key, value in options.items() for word in ("-c", f"{key}={value}"))]


def connect(values: Mapping[str, str], database: str = "postgres") -> "connection":
    """A psycopg2 connection. Raises psycopg2.Error if the server does not answer."""
    import psycopg2

    return psycopg2.connect(
        host="127.0.0.1",
        port=values["TEAM_POSTGRES_PORT"],
        user=values["POSTGRES_USER"],
        password=values["POSTGRES_PASSWORD"],
        dbname=database,
        connect_timeout=5,
    )


def make_databases(values: Mapping[str, str]) -> None:
    """Create the databases of DATABASES that do not exist."""
    connection = connect(values)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            for name in set(DATABASES) - {row[0] for row in cursor.fetchall()}:
                cursor.execute(f'CREATE DATABASE "{name}"')
    finally:
        connection.close()


def url(values: Mapping[str, str], database: str, *, driver: str = "postgresql+psycopg2") -> str:
    """A database's SQLAlchemy URL. It names the driver, because SQLAlchemy 2.1 defaults to psycopg 3."""
    where = f"127.0.0.1:{values['TEAM_POSTGRES_PORT']}"
    return f"{driver}://{values['POSTGRES_USER']}:{values['POSTGRES_PASSWORD']}@{where}/{database}"
