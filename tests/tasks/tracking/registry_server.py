"""MLflow's own server on loopback in this process, and a proxy before it that loses replies and dies at a request."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest

from tests.web import Quiet

# "refused": the request is not carried out; "lost": it is, and the reply is lost; "dead" and "dead after": likewise, and the server is gone
Fault = Literal["refused", "lost", "dead", "dead after"]
Rule = Callable[[str, int], Fault | None]  # the request, `POST registered-models/create`, and how many of it came before


@contextmanager
def mlflow_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of MLflow's server on the store in `home`, with its artifacts behind it."""
    import uvicorn
    from mlflow.server import handlers

    base = f"sqlite:///{(home / 'mlflow.db').resolve()}"
    for name, value in {
        "_MLFLOW_SERVER_FILE_STORE": base,
        "_MLFLOW_SERVER_REGISTRY_STORE": base,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(home / "mlartifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("_tracking_store", "_model_registry_store", "_artifact_repo"):
        monkeypatch.setattr(handlers, name, None)
    from mlflow.server.fastapi_app import app

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


class RegistryProxy:
    """Forwards to MLflow's server, and spoils what `rule` says."""

    def __init__(self, upstream: str):
        self._upstream = urlsplit(upstream).netloc
        self.rule: Rule = lambda request, before: None
        self.dead = False
        self.kill: Callable[[], object] = lambda: None  # called when it dies
        self.seen: list[str] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(Quiet):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy._handle(self)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def alive(self) -> None:
        """The server is there again, and does what it should."""
        self.dead, self.rule = False, lambda request, before: None

    def _handle(self, handler: Quiet) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = f"{handler.command} {urlsplit(handler.path).path.removeprefix('/api/2.0/mlflow/')}"
        with self._lock:
            fault = "refused" if self.dead else self.rule(request, self.seen.count(request))
            self.seen.append(request)
            self.dead = self.dead or fault in ("dead", "dead after")
        if fault == "dead":
            self.kill()
        if fault in ("refused", "dead"):
            handler.close_connection = True
            return
        connection = http.client.HTTPConnection(self._upstream)
        connection.request(handler.command, handler.path, body, dict(handler.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if fault == "dead after":
            self.kill()
        if fault:
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
