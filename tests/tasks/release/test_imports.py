"""Third parties' files, imported from a real server on loopback by DVC in a separate repository."""

import functools
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

PIPELINE = "stages:\n  count:\n    cmd: cat data/raw/*.jsonl > out\n    deps: [data/raw]\n    outs: [out]\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "chats.jsonl").write_text('{"prompt": "Write about tea."}\n')
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(SimpleHTTPRequestHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/chats.jsonl", folder / "chats.jsonl"
        server.shutdown()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/raw/own.jsonl").write_text('{"prompt": "Write about rain."}\n')
    (folder / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    (folder / "dvc.yaml").write_text(PIPELINE)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    assert ran(folder, "dvc", "init", "-q").returncode == 0
    return folder


def ran(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}
    return subprocess.run([sys.executable, "-m", *words], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.integration
def test_an_imported_file_is_pinned_feeds_the_pipeline_and_follows_its_origin_when_asked(
    served: tuple[str, Path], repository: Path
) -> None:
    url, origin = served
    done = ran(repository, "tasks.release", "import", url)
    assert done.returncode == 0, done.stderr
    pinned = repository / "data/raw/chats.jsonl.dvc"
    before = yaml.safe_load(pinned.read_text())["outs"][0]["md5"]
    subprocess.run(["git", "add", "-A"], cwd=repository, check=True)
    tracked = subprocess.run(["git", "ls-files", "data"], cwd=repository, capture_output=True, text=True).stdout.split()
    assert [name for name in tracked if "chats" in name] == ["data/raw/chats.jsonl.dvc"]
    assert ran(repository, "dvc", "repro", "-q").returncode == 0
    assert (repository / "out").read_text().count("\n") == 2

    origin.write_text('{"prompt": "Write about something else."}\n')
    assert ran(repository, "dvc", "update", "-q", str(pinned)).returncode == 0
    assert yaml.safe_load(pinned.read_text())["outs"][0]["md5"] != before
    assert "Running stage 'count'" in ran(repository, "dvc", "repro", "--dry").stdout


class WithoutValidators(SimpleHTTPRequestHandler):
    """Sends neither ETag nor Last-Modified, and the length only where it is to."""

    length = True

    def send_header(self, keyword: str, value: str) -> None:
        if keyword != "Last-Modified" and (self.length or keyword != "Content-Length"):
            super().send_header(keyword, value)


class WithETag(SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        self.send_header("ETag", f'"{hashlib.md5(Path(self.translate_path(self.path)).read_bytes()).hexdigest()}"')
        super().end_headers()


@contextmanager
def serving(handler: type[SimpleHTTPRequestHandler], folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/chats.jsonl"
        server.shutdown()


@pytest.mark.integration
@pytest.mark.parametrize("length", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_change_of_the_same_size_is_seen_at_a_host_that_says_nothing_of_it(
    served: tuple[str, Path], repository: Path, length: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WithoutValidators, "length", length)
    origin = served[1]
    with serving(WithoutValidators, origin.parent) as url:
        done = ran(repository, "tasks.release", "import", url)
        assert done.returncode == 0, done.stderr
        assert "the host sends no ETag and no date, so `dvc update` cannot see a change" in done.stdout
        place, pinned = repository / "data/raw/chats.jsonl", repository / "data/raw/chats.jsonl.dvc"
        assert yaml.safe_load(pinned.read_text())["meta"] == {"origin": url}
        assert "Could not update" in ran(repository, "dvc", "update", str(pinned)).stderr
        assert "has not changed at its origin" in ran(repository, "tasks.release", "import", url, "--update").stdout
        for topic in ("ham", "jam"):
            origin.write_text(f'{{"prompt": "Write about {topic}."}}\n')
            updated = ran(repository, "tasks.release", "import", url, "--update")
            assert updated.returncode == 0, updated.stderr
            assert topic in place.read_text()
    assert sorted(path.name for path in place.parent.iterdir()) == [".gitignore", "chats.jsonl", "chats.jsonl.dvc", "own.jsonl"]


@pytest.mark.integration
def test_a_change_is_seen_by_the_etag_and_by_an_update_that_names_the_address(served: tuple[str, Path], repository: Path) -> None:
    origin = served[1]
    with serving(WithETag, origin.parent) as url:
        assert "dvc update data/raw/chats.jsonl.dvc" in ran(repository, "tasks.release", "import", url).stdout
        for topic, update in (
            ("ham", ("dvc", "update", "data/raw/chats.jsonl.dvc")),
            ("jam", ("tasks.release", "import", url, "--update")),
        ):
            origin.write_text(f'{{"prompt": "Write about {topic}."}}\n')
            assert ran(repository, *update).returncode == 0
            assert topic in (repository / "data/raw/chats.jsonl").read_text()


@pytest.mark.integration
def test_a_host_out_of_reach_a_missing_file_and_a_file_that_is_there_are_one_line_each(served: tuple[str, Path], repository: Path) -> None:
    with socket.socket() as closed:  # bound, not listening: nobody else gets the port
        closed.bind(("127.0.0.1", 0))
        offline = ran(repository, "tasks.release", "import", f"http://127.0.0.1:{closed.getsockname()[1]}/chats.jsonl")
    missing = ran(repository, "tasks.release", "import", served[0].replace("chats", "none"))
    twice = ran(repository, "tasks.release", "import", served[0], "--out", "data/raw/own.jsonl")
    for done, says in ((offline, "cannot be reached"), (missing, "has no such file (404)"), (twice, "exists already")):
        assert done.returncode != 0
        assert says in done.stderr
        assert done.stderr.strip().count("\n") == 0
    assert [path.name for path in (repository / "data/raw").iterdir()] == ["own.jsonl"]
