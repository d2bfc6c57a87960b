"""Real S3 servers on loopback, and a proxy that damages traffic; the tests of the store run on both servers."""

import contextlib
import http.client
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

KEY, SECRET = "testkey", f"canary-s3-{secrets.token_hex(6)}"
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def served(command: list[str], port: int, log: Path) -> Iterator[str]:
    """The URL of a server that this command starts; ended afterwards, with what it started."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        url, end = f"http://127.0.0.1:{port}", time.monotonic() + 90
        while not _answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, "no answer"
            time.sleep(0.1)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def moto(folder: Path) -> AbstractContextManager[str]:
    port = free_port()
    return served([str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)], port, folder / "moto.log")


def rclone(folder: Path, *, looks: str = "1ms") -> AbstractContextManager[str]:
    """Keeps its objects as files below `folder`/s3. `looks`: for how long it believes what it saw there; rclone's own is 5m."""
    port = free_port()
    (folder / "s3").mkdir()
    command = [str(BIN / "rclone"), "--config", "/dev/null", "serve", "s3", "--dir-cache-time", looks]
    command += ["--auth-key", f"{KEY},{SECRET}", "--addr", f"127.0.0.1:{port}"]
    return served([*command, str(folder / "s3")], port, folder / "rclone.log")


class Request(NamedTuple):
    method: str
    path: str
    part: int | None  # number of an UploadPart
    start: int | None  # of a ranged GET
    body: int  # bytes


# "503", "404", "cut" (in mid-body), "flip" (a byte of the body sent), "truncate", "flip reply", "vague" (the reply has another ETag of the
# parts' together), "hold" (until released)
Fault = str
Rule = Callable[[Request, int], Fault | None]  # the request, and how many like it came before


class Proxy:
    """Forwards to a server, spoils what `rule` says, and remembers what came through whole."""

    def __init__(self, upstream: str):
        self._upstream = urlsplit(upstream).netloc
        self.rule: Rule = lambda request, before: None
        self.seen: list[Request] = []
        self.done: list[Request] = []
        self._lock = threading.Lock()
        self.release = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy._handle(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    def sent(self) -> list[tuple[str, int]]:
        """Path and number of every part that went through whole."""
        return [(request.path, request.part) for request in self.done if request.part]

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = _request(handler, len(body))
        with self._lock:
            before = sum(one == request for one in self.seen)
            self.seen.append(request)
        fault = self.rule(request, before)
        if fault == "hold":
            self.release.wait(60)
            fault = "cut"
        if fault in ("503", "404"):
            return _reply(handler, int(fault), {"Content-Type": "application/xml"}, _ERRORS[fault])
        if fault == "cut":
            handler.close_connection = True
            return handler.connection.shutdown(socket.SHUT_RDWR)
        if fault == "flip":
            body = body[:-1] + bytes([body[-1] ^ 1])
        status, headers, reply = self._forward(handler, body)
        if fault == "truncate":
            handler.close_connection = True
            return _reply(handler, status, headers, reply[: len(reply) // 2], length=len(reply))
        if fault == "flip reply":
            reply = reply[:-1] + bytes([reply[-1] ^ 1])
        if fault == "vague":
            reply = re.sub(rb"[0-9a-f]{32}-", b"0" * 32 + b"-", reply)
        with self._lock:
            self.done.append(request)
        _reply(handler, status, headers, reply)

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self._upstream, timeout=5)
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in ("expect", "connection")}
        with contextlib.suppress(OSError):  # it answers before it has read the body: an error
            connection.request(handler.command, handler.path, body=body or None, headers=headers)
        response = connection.getresponse()
        data = response.read()
        found = {name: value for name, value in response.getheaders() if name.lower() not in ("connection", "transfer-encoding")}
        connection.close()
        return response.status, found, data


_ERRORS = {
    "503": b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
    "404": b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>",
}


def _request(handler: BaseHTTPRequestHandler, body: int) -> Request:
    url = urlsplit(handler.path)
    query, span = parse_qs(url.query), handler.headers.get("Range")
    part = int(query["partNumber"][0]) if "partNumber" in query else None
    return Request(handler.command, url.path, part, int(span.removeprefix("bytes=").split("-")[0]) if span else None, body)


def _reply(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes, length: int | None = None) -> None:
    handler.send_response_only(status)
    for name, value in headers.items():
        if name.lower() != "content-length":
            handler.send_header(name, value)
    if handler.command == "HEAD":
        handler.send_header("Content-Length", headers.get("Content-Length", "0"))
    else:
        handler.send_header("Content-Length", str(length or len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
