"""A dataset of the hub at one commit, from a loopback server with the hub's API; and an unreachable hub."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.web import Quiet, served

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILE = b'{"prompt": "Write about tea."}\n{"prompt": "Write about the sea."}\n'
READ = """
import sys
from pathlib import Path
from tasks.schema.errors import PipelineError
from tasks.schema.params import Source
from tasks.sources import hub, reading
files, revision = sys.argv[1:]
try:
    if revision == "pin":
        print(hub.pin(files))
    else:
        entry = Source(name="chats", files=[files], format="auto", adapter="auto", revision=revision, licence="CC0-1.0")
        print([ask.text for ask in reading.raw_prompts(entry, Path())])
except PipelineError as error:
    print("error:", error)
"""


class Hub(Quiet):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith(f"/api/datasets/team/chats/tree/{COMMIT}"):
            entries = [{"type": "file", "path": "data/a.jsonl", "size": len(FILE), "oid": "1"}]
            return self._said(200, json.dumps([*entries, {"type": "file", "path": "README.md", "size": 1, "oid": "2"}]).encode())
        if self.path.startswith("/api/datasets/team/chats"):
            return self._said(200, json.dumps({"_id": "1", "id": "team/chats", "sha": COMMIT, "siblings": []}).encode())
        if self.path == f"/datasets/team/chats/resolve/{COMMIT}/data/a.jsonl":
            return self._said(200, FILE, {"ETag": '"abc"', "X-Repo-Commit": COMMIT})
        return self._said(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def _said(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    with served(Hub) as url:
        yield url


def read(tmp_path: Path, files: str, revision: str, **env: str) -> str:
    """In a process of its own: the hub's client reads its variables when it is imported."""
    env = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1", **env}
    done = subprocess.run([sys.executable, "-c", READ, files, revision], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_dataset_is_read_at_its_commit_and_what_a_commit_is_can_be_asked(tmp_path: Path, hub: str) -> None:
    for files in ("hf://datasets/team/chats", "hf://datasets/team/chats/data/*.jsonl"):
        assert read(tmp_path, files, COMMIT, HF_ENDPOINT=hub) == "['Write about tea.', 'Write about the sea.']"
    assert read(tmp_path, "hf://datasets/team/chats", "pin", HF_ENDPOINT=hub) == COMMIT


def test_what_the_hub_has_not_is_one_clear_line(tmp_path: Path, hub: str) -> None:
    said = read(tmp_path, "hf://datasets/team/other", COMMIT, HF_ENDPOINT=hub)
    assert said == "error: hf://datasets/team/other: the hub has no such dataset, commit or file, or HF_TOKEN may not see it"
    assert "no file matches" in read(tmp_path, "hf://datasets/team/chats/none", COMMIT, HF_ENDPOINT=hub)


@pytest.mark.slow  # the hub's client tries for half a minute
def test_no_hub_at_all_is_one_clear_line(tmp_path: Path) -> None:
    said = read(tmp_path, "hf://datasets/team/chats", COMMIT, HF_ENDPOINT="http://127.0.0.1:9")
    assert said.startswith("error: hf://datasets/team/chats: the hub cannot be reached")


def test_a_hub_that_is_switched_off_is_one_clear_line(tmp_path: Path) -> None:
    said = read(tmp_path, "hf://datasets/team/chats", COMMIT, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE" in said
