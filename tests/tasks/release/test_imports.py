"""Files of third parties, from a real server on the loopback, under DVC in a repository of their own."""

import functools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
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
