"""The owner process with a real PostgreSQL and a real S3 server: supervised, killed and restarted."""

import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from infra.team import checks, environment, postgres, processes, services
from infra.team.owner import RunningService
from tasks.processes import end_all
from tasks.schema.errors import ServerError
from tasks.schema.settings import settings
from tests.web import Quiet, served


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A back end's folder that PostgreSQL's account can reach: pytest's own are closed."""
    home = Path(tempfile.mkdtemp(prefix="longwriter-", dir="/tmp"))
    home.chmod(0o755)
    monkeypatch.setenv("LONGWRITER_HOME", str(home))
    settings.cache_clear()
    given = environment.ensure(free_ports=True)
    for folder in ("logs", "s3"):
        (environment.folder() / folder).mkdir()
    yield given
    end_all(processes.strays(environment.folder()), grace=processes.GRACE)
    shutil.rmtree(home)


def kept(values: dict[str, str], name: str) -> RunningService:
    return RunningService(next(service for service in services.all_of(values) if service.name == name))


def until(one: RunningService, state: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while one.line.state != state:
        assert time.monotonic() < end, one.line
        one.look()
        time.sleep(0.1)


@pytest.mark.integration
def test_postgres_is_made_asks_for_its_password_and_comes_back_after_a_kill(values: dict[str, str]) -> None:
    postgres.make(postgres.place(environment.folder()), values)
    postgres.make(postgres.place(environment.folder()), values)  # again: nothing to make
    one = kept(values, "postgres")
    one.start()
    try:
        until(one, "up")
        assert psutil.Process(one.line.pid).uids().effective != 0
        with pytest.raises(checks.Unwell, match="password authentication failed"):
            checks.postgres(values | {"POSTGRES_PASSWORD": "guessed"})
        connection = postgres.connect(values, "mlflow")
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (word text)")
        connection.close()
        before = one.line.pid
        os.kill(before, signal.SIGKILL)
        until(one, "starting")
        until(one, "up")
        assert (one.line.restarts, one.line.pid != before) == (1, True)
        connection = postgres.connect(values, "mlflow")
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM kept")
        connection.close()
    finally:
        one.stop()
    assert processes.strays(environment.folder()) == []


def test_s3_has_its_bucket_and_refuses_other_keys(values: dict[str, str]) -> None:
    one = kept(values, "s3")
    one.start()
    try:
        until(one, "up")
        checks.s3_client(values).put_object(Bucket=values["TEAM_BUCKET"], Key="a/b", Body=b"words")
        with pytest.raises(checks.Unwell, match="SignatureDoesNotMatch"):
            checks.s3(values | {"AWS_SECRET_ACCESS_KEY": "guessed"})
        command = " ".join(psutil.Process(one.line.pid).cmdline())
        assert values["AWS_SECRET_ACCESS_KEY"] not in command
    finally:
        one.stop()
    with pytest.raises(checks.Unwell):
        checks.s3(values)


def test_a_port_that_is_taken_is_named_with_its_holder(values: dict[str, str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(values["TEAM_S3_PORT"])))
        other.listen()
        with pytest.raises(ServerError, match=rf"^port {values['TEAM_S3_PORT']} \(s3\): held by process {os.getpid()} \("):
            kept(values, "s3").start()


def test_a_server_that_dies_before_it_answers_has_failed_with_its_last_words(values: dict[str, str]) -> None:
    one = kept(values, "s3")
    one.service = one.service._replace(command=["/bin/sh", "-c", "echo no room >&2; exit 7"])
    one.start()
    until(one, "failed", seconds=10)
    assert "ended with code 7: no room; see " in one.line.note


@contextmanager
def answering(body: bytes, *, password: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A server that gives everybody the same answer, or 401 without a password: its URL, and the passwords that it was sent."""
    sent: list[str] = []

    class Handler(Quiet):
        def do_GET(self) -> None:
            key = self.headers.get("Authorization")
            sent.extend([key] if key else [])
            self.send_response(401 if password and not key else 200)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

    with served(Handler) as url:
        yield url, sent


@pytest.mark.parametrize(
    ("body", "problem"),
    [(b'{"experiments": []}', "it lets in everybody"), (b"{}", "it lets in everybody"), (b"<html>", "not with JSON")],
)
def test_another_server_on_mlflows_port_is_unwell_and_sees_no_password(values: dict[str, str], body: bytes, problem: str) -> None:
    with answering(body) as (url, sent), pytest.raises(checks.Unwell, match=problem):
        checks.mlflow(values | {"LONGWRITER_TRACKING_URI": url})
    assert sent == []


@pytest.mark.parametrize(("body", "problem"), [(b'"3.8.8"', "it lets in everybody"), (b"[]", "it lets in everybody")])
def test_another_server_on_prefects_port_is_unwell_and_sees_no_password(values: dict[str, str], body: bytes, problem: str) -> None:
    with answering(body) as (url, sent), pytest.raises(checks.Unwell, match=problem):
        checks.prefect(values | {"PREFECT_API_URL": url})
    assert sent == []


def test_a_server_with_a_password_that_answers_otherwise_is_unwell(values: dict[str, str]) -> None:
    with answering(b"{}", password=True) as (url, _):
        with pytest.raises(checks.Unwell, match="not as MLflow does"):
            checks.mlflow(values | {"LONGWRITER_TRACKING_URI": url})
        with pytest.raises(checks.Unwell, match="not as Prefect does"):
            checks.prefect(values | {"PREFECT_API_URL": url})


def test_no_secret_stands_in_a_command_line(values: dict[str, str]) -> None:
    secret = {value for name, value in values.items() if any(word in name for word in ("PASSWORD", "SECRET", "AUTH_STRING"))}
    words = [word for service in services.all_of(values) for word in service.command]
    assert not [word for word in words if any(value in word for value in secret)]


def test_every_server_listens_on_loopback(values: dict[str, str]) -> None:
    for service in services.all_of(values):
        said = " ".join([*service.command, *(f"{key}={value}" for key, value in service.environment.items())])
        assert "0.0.0.0" not in said
        assert "127.0.0.1" in said
