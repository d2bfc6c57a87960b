"""Sources in a bucket, over the real protocol: moto's server behind a proxy that damages responses."""

import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from tasks.schema.errors import BadInput, SourceError
from tasks.schema.params import Source
from tasks.sources import bucket, reading
from tasks.sources.__main__ import app
from tasks.sources.files import files_of


class Door(ThreadingHTTPServer):
    """Passes requests on; every `faulty`-th GET of an object is refused with 503, or its body cut."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.behind, self.fault, self.every, self.seen, self.broken = port, "", 2, 1, 0


class Passing(BaseHTTPRequestHandler):
    server: Door
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        of_object = self.path.partition("?")[0].endswith(".jsonl")
        self.server.seen += of_object
        broken = bool(self.server.fault) and of_object and self.server.seen % self.server.every == 0
        self.server.broken += broken
        if broken and self.server.fault == "503":
            return self._said(503, b"<Error><Code>SlowDown</Code></Error>", {})
        ahead = HTTPConnection("127.0.0.1", self.server.behind)
        ahead.request("GET", self.path, headers=dict(self.headers))
        answer = ahead.getresponse()
        body, headers = answer.read(), {k: v for k, v in answer.getheaders() if k.lower() not in ("content-length", "connection", "date")}
        if broken:
            self.send_response(answer.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return None
        return self._said(answer.status, body, headers)

    def _said(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def door(moto: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    door = Door(moto)
    threading.Thread(target=door.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{door.server_address[1]}")
    bucket.client.cache_clear()
    yield door
    door.shutdown()
    door.server_close()
    bucket.client.cache_clear()


@pytest.fixture
def store(moto: int, door: Door) -> Iterator[Any]:
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{moto}")
    client.create_bucket(Bucket="chats")
    yield client
    for found in client.list_objects_v2(Bucket="chats").get("Contents", ()):
        client.delete_object(Bucket="chats", Key=found["Key"])
    client.delete_bucket(Bucket="chats")


def lines(count: int) -> bytes:
    return b"".join(b'{"prompt": "Write about %d."}\n' % number for number in range(count))


def entry(*files: str, revision: str = "") -> Source:
    revision = revision or bucket.pin(list(files))
    return Source(name="chats", files=list(files), format="auto", adapter="auto", revision=revision, licence="CC0-1.0")


def texts(source: Source) -> list[str]:
    return [ask.text for ask in reading.raw_prompts(source, Path())]


def test_jsonl_and_parquet_are_read_from_a_bucket_by_glob(store: Any, tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["Write about tea."]}), tmp_path / "b.parquet")
    store.upload_file(str(tmp_path / "b.parquet"), "chats", "2024/b.parquet")
    store.put_object(Bucket="chats", Key="2024/a.jsonl", Body=lines(3))
    store.put_object(Bucket="chats", Key="2023/a.jsonl", Body=lines(1))
    source = entry("s3://chats/2024/*")
    assert [file.name for file in files_of(source, Path())] == ["chats/2024/a.jsonl", "chats/2024/b.parquet"]
    assert texts(source) == ["Write about 0.", "Write about 1.", "Write about 2.", "Write about tea."]


@pytest.mark.parametrize("fault", ["503", "cut"])
def test_requests_that_fail_now_and_then_are_made_again_and_no_row_is_lost(store: Any, door: Door, fault: str) -> None:
    store.put_object(Bucket="chats", Key="a.jsonl", Body=lines(1_000))
    source = entry("s3://chats/a.jsonl")
    door.fault = fault
    assert texts(source) == [f"Write about {number}." for number in range(1_000)]
    assert door.broken > 0


@pytest.mark.integration
def test_a_store_that_goes_on_failing_is_one_error_with_the_object_and_the_byte(store: Any, door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr(bucket, "TRIES", 2)
    store.put_object(Bucket="chats", Key="a.jsonl", Body=lines(10))
    source = entry("s3://chats/a.jsonl")
    bucket.client.cache_clear()
    door.fault, door.every = "503", 1
    with pytest.raises(SourceError, match=r"s3://chats/a\.jsonl: byte 0: .*(503|SlowDown)") as error:
        texts(source)
    assert "\n" not in str(error.value)


def test_a_listing_that_changed_since_it_was_pinned_is_named_with_its_new_digest(store: Any) -> None:
    store.put_object(Bucket="chats", Key="a.jsonl", Body=lines(2))
    source = entry("s3://chats/a.jsonl")
    store.put_object(Bucket="chats", Key="a.jsonl", Body=lines(3))
    with pytest.raises(
        BadInput, match=r"source chats is not the pinned one: 1 objects with digest [0-9a-f]{64}; fix: if the change is intended"
    ):
        files_of(source, Path())


def test_the_command_line_prints_the_revision_that_the_entry_is_read_with(store: Any) -> None:
    store.put_object(Bucket="chats", Key="a.jsonl", Body=lines(2))
    done = CliRunner().invoke(app, ["pin", "s3://chats/*.jsonl"])
    assert done.exit_code == 0
    assert texts(entry("s3://chats/*.jsonl", revision=done.stdout.strip())) == ["Write about 0.", "Write about 1."]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["prompts.jsonl"], "prompts.jsonl: neither in S3 nor on the Hugging Face hub; fix: leave it out"),
        (["s3://chats/a.jsonl", "b.jsonl"], "b.jsonl: neither in S3 nor on the Hugging Face hub; fix: leave it out"),
        (
            ["s3://chats/a.jsonl", "hf://datasets/team/chats"],
            "hf://datasets/team/chats: not where the other files are; fix: pin s3:// files and",
        ),
    ],
)
def test_files_of_two_places_are_not_pinned_together(files: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["pin", *files])
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize(("change", "said"), [("gone", "vanished while it was read"), ("other", "changed while it was read")])
def test_an_object_that_vanishes_or_changes_after_it_was_listed_is_an_error(store: Any, change: str, said: str) -> None:
    store.put_object(Bucket="chats", Key="a.jsonl", Body=lines(2))
    [file] = files_of(entry("s3://chats/a.jsonl"), Path())
    if change == "gone":
        store.delete_object(Bucket="chats", Key="a.jsonl")
    else:
        store.put_object(Bucket="chats", Key="a.jsonl", Body=lines(3))
    with pytest.raises(SourceError, match=said):
        list(reading.raw_prompts_of(file))


def test_a_pattern_or_bucket_without_an_object_is_a_clear_error(store: Any) -> None:
    with pytest.raises(BadInput, match=r"s3://chats/none\*: no object matches"):
        bucket.pin(["s3://chats/none*"])
    with pytest.raises(SourceError, match=r"s3://nowhere/a\.jsonl: cannot be listed: .*NoSuchBucket"):
        bucket.pin(["s3://nowhere/a.jsonl"])
