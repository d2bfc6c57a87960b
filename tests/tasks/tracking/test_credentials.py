"""User and password in a tracking server's URL are sent with each request, and appear nowhere else."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.schema.errors import EndpointError
from tasks.schema.settings import settings
from tasks.tracking import client
from tests.canaries import canary

PASSWORD = canary("tracking")
SEEN: list[str] = []


class Server(BaseHTTPRequestHandler):
    """Answers what a tracking server does to a search for experiments, or repeats the password in a refusal."""

    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        SEEN.append(self.headers.get("Authorization", ""))
        refusal = {"error_code": "PERMISSION_DENIED", "message": f"not with {PASSWORD}"}
        body = json.dumps({"experiments": []} if self.status == 200 else refusal).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture(params=[200, 403])
def status(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")  # what is set on the way is taken back
    SEEN.clear()
    handler = type("Handler", (Server,), {"status": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("LONGWRITER_TRACKING_URI", f"http://me:{PASSWORD}@127.0.0.1:{server.server_port}")
    settings.cache_clear()
    try:
        yield int(request.param)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_they_are_sent_and_not_shown(status: int, capfd: pytest.CaptureFixture[str]) -> None:
    if status == 200:
        client.connect()
    else:
        with pytest.raises(EndpointError, match="LONGWRITER_TRACKING_URI") as error:
            client.connect()
        assert PASSWORD not in str(error.value)
    assert {base64.b64decode(sent.removeprefix("Basic ")).decode() for sent in SEEN} == {f"me:{PASSWORD}"}
    assert PASSWORD not in f"{client.uri()} {client.shown_uri()} {''.join(capfd.readouterr())}"


def test_a_databases_password_stays_out_of_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_TRACKING_URI", f"postgresql://me:{PASSWORD}@127.0.0.1:9/mlflow?sslmode=require")
    settings.cache_clear()
    assert client.uri() == f"postgresql://me:{PASSWORD}@127.0.0.1:9/mlflow?sslmode=require"
    assert client.shown_uri() == "postgresql://127.0.0.1:9/mlflow"
