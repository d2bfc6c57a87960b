"""Promotions on a real MLflow server and a real S3 server: two machines at once, a laptop's cache, a server killed in the middle.

A machine is a folder with a home and a clone of its own, and its stages are processes of their own. The rehearsal serves the versions.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tasks.processes import family
from tasks.schema.settings import settings
from tasks.storage import bucket, versions
from tasks.storage import client as s3
from tasks.storage.fetch import fetch
from tasks.storage.place import place
from tasks.tracking import registry
from tasks.tracking.checkpoint import digest
from tests.conftest import ROOT
from tests.tasks.promotions import candidate
from tests.tasks.storage import servers
from tests.tasks.tracking.registry_server import Fault, RegistryProxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PROMOTE = ["tasks.promote", "data/train", "data/align", "data/reinforce", "data/score", "data/general.json", "data/dataset", "data/promote"]
SERVE = ["tasks.serve", "data/promote/promoted.json", "data/serve"]
GRAPH = """
stages:
  promote:
    meta: {outside: registry}
    cmd: exec python -m tasks.promote data/train data/align data/reinforce data/score data/general.json data/dataset data/promote
    deps: [data/train, data/score, data/general.json, data/dataset]
    params: [seed, base, pack, train, align, reinforce, promote]
    outs:
      - data/promote/decision.json: {cache: false, persist: true}
      - data/promote/promoted.json: {cache: false, persist: true}
    metrics: [data/promote/metrics.json]
  serve:
    cmd: exec python -m tasks.serve data/promote/promoted.json data/serve
    deps: [data/promote/promoted.json]
    params: [seed, serve, models.candidate]
    outs: [data/serve/served.json, data/serve/answer.txt]
    metrics: [data/serve/metrics.json]
"""


class Server:
    """`mlflow server` on SQLite, killed at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, servers.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        words += ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db", "--artifacts-destination", f"{self._folder}/artifacts"]
        with (self._folder / "server.log").open("ab") as log:
            command = [sys.executable, "-m", "mlflow", *words]
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 120
        while not servers._answers(f"{self.url}/health"):
            assert time.monotonic() < end, (self._folder / "server.log").read_text()
            time.sleep(0.2)

    def kill(self) -> None:
        """kill -9 of all its processes."""
        assert self._process
        for process in family(self._process.pid):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    found = Server(folder)
    found.start()
    monkeypatch.setenv("LONGWRITER_TRACKING_URI", found.url)
    settings.cache_clear()
    yield found
    found.kill()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, str]]:
    """The environment of a team's S3 server."""
    (tmp_path / "rclone").mkdir()
    with servers.rclone(tmp_path / "rclone") as url:
        given = {
            "AWS_ACCESS_KEY_ID": servers.KEY,
            "AWS_SECRET_ACCESS_KEY": servers.SECRET,
            "AWS_CONFIG_FILE": os.devnull,
            "LONGWRITER_S3_ENDPOINT": url,
            "LONGWRITER_STORE": "s3://bucket/team",
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        bucket.make(s3.connect(), place(), plain=True)
        yield given


def machine(folder: Path, *, weights: bytes, s_bar: float) -> Path:
    """A machine with a model to promote, which the rehearsal serves."""
    candidate(folder / "data", weights=weights, s_bar=s_bar)
    for model in (folder / "data/train/checkpoints").iterdir():
        (model / "chat_template.jinja").write_text("{{ messages }}")
    for name in ("promote", "serve"):
        (folder / "data" / name).mkdir()
    text = (ROOT / "profiles/rehearsal.yaml").read_text(encoding="utf-8")
    text, count = re.subn(r"(candidate: \{name: )student", r"\1rehearsal-candidate", text)
    assert count == 1
    (folder / "params.yaml").write_text(text.replace("min_s_l: 0.0", "min_s_l: 50.0"))
    return folder


def ran(folder: Path, words: list[str], **more: str) -> "subprocess.CompletedProcess[str]":
    """`python -m WORDS` on a machine."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path, "LONGWRITER_HOME": str(folder / "home")} | more
    return subprocess.run([sys.executable, "-m", *words], cwd=folder, env=own, capture_output=True, text=True)


def good(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def student(folder: Path) -> str:
    """The digest of a machine's model."""
    return digest(folder / "data/train/checkpoints/student")


def champion() -> str | None:
    """The digest of the registry's champion."""
    found = registry.aliased("champion")
    return found.tags[registry.DIGEST] if found else None


def test_of_two_promotions_at_once_from_two_machines_one_wins_and_registry_and_store_agree(
    server: Server, store: Mapping[str, str], tmp_path: Path
) -> None:
    old = machine(tmp_path / "old", weights=b"old", s_bar=60.0)
    good(ran(old, PROMOTE))
    assert champion() is None, "nothing is champion before it has been served"
    good(ran(old, SERVE))
    assert champion() == student(old)
    both = [machine(tmp_path / "a", weights=b"a", s_bar=70.0), machine(tmp_path / "b", weights=b"b", s_bar=80.0)]
    with ThreadPoolExecutor() as pool:
        for done in pool.map(lambda one: ran(one, PROMOTE), both):
            assert "is champion once the stage serve has served it" in good(done)
        assert champion() == student(old)
        first, second = sorted(pool.map(lambda one: ran(one, SERVE), both), key=lambda done: done.returncode)
    assert (first.returncode, second.returncode) == (0, 1)
    assert re.search(r"error: .*version \d is champion (now; promote again|there, not version \d)", second.stderr), second.stderr
    assert champion() in [student(one) for one in both]
    for one in both:  # each runs again, as the error says
        good(ran(one, PROMOTE))
        good(ran(one, SERVE))
        good(ran(one, ["tasks.storage", "follow"]))
    assert champion() == student(both[1]), "the better of the two"
    got = fetch("checkpoint", tmp_path / "got", source=place(), version="champion", label=None).folder
    assert digest(got) == champion() == versions.resolve(s3.connect(), place(), "checkpoint", "champion").labels["checkpoint_digest"]
    assert len(registry.versions()) == 3


MOMENTS: tuple[tuple[str, Fault], ...] = (
    ("PUT", "dead after"),  # a file is stored
    ("POST model-versions/create", "dead"),
    ("POST model-versions/create", "dead after"),
    ("POST model-versions/set-tag", "dead after"),  # in the middle of the decision
)


def test_a_server_that_is_killed_in_the_middle_leaves_one_version_and_no_champion_that_was_not_served(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, proxy = machine(tmp_path / "one", weights=b"one", s_bar=70.0), RegistryProxy(server.url)
    proxy.kill = server.kill
    own = {"LONGWRITER_TRACKING_URI": proxy.url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}

    def killed(words: list[str], request: str, fault: Fault) -> str:
        seen = proxy.seen.copy()
        proxy.rule = lambda asked, before: fault if asked.startswith(request) and before == seen.count(asked) else None
        done = ran(one, words, **own)
        assert proxy.dead, done.stdout + done.stderr
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert done.stderr.splitlines()[-1] == line
        assert re.search(r"MLflow: .*no reply from 127\.0\.0\.1:\d+ .*; run again when it works$", line), line
        server.start()
        proxy.alive()
        return done.stdout

    for request, fault in MOMENTS:
        assert "champion" not in killed(PROMOTE, request, fault)
        assert champion() is None
        assert not (one / "data/promote/promoted.json").exists()
    good(ran(one, PROMOTE, **own))
    assert [version.number for version in registry.versions()] == ["1"]
    assert champion() is None, "it was not served yet"
    assert "is champion" not in killed(SERVE, "POST registered-models/alias", "dead")
    assert champion() is None
    good(ran(one, SERVE, **own))
    assert champion() == student(one)
    assert [version.number for version in registry.versions()] == ["1"]
    proxy.close()


def dvc(folder: Path, *words: str, **more: str) -> str:
    return good(ran(folder, ["flows.verified_dvc", *words], **more))


def test_a_laptops_promotion_in_the_teams_cache_is_not_restored_on_the_team(server: Server, tmp_path: Path) -> None:
    laptop = machine(tmp_path / "laptop", weights=b"1", s_bar=70.0)
    (laptop / "dvc.yaml").write_text(GRAPH)
    (laptop / ".gitignore").write_text("/home\n/.longwriter\n")
    (laptop / "data/.gitignore").write_text("/promote\n/serve\n")
    subprocess.run(["git", "init", "-q"], cwd=laptop, check=True)
    dvc(laptop, "init", "-q")
    shutil.copy(ROOT / ".dvc/config", laptop / ".dvc/config")
    dvc(laptop, "remote", "add", "--default", "team", str(tmp_path / "remote"))
    shutil.rmtree(laptop / "data/promote")
    shutil.rmtree(laptop / "data/serve")
    own = {"LONGWRITER_TRACKING_URI": ""}
    assert "Running stage 'serve'" in dvc(laptop, "repro", **own)
    dvc(laptop, "push", "--run-cache", **own)
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run([*git, "add", "--all"], cwd=laptop, check=True)
    subprocess.run([*git, "commit", "-q", "-m", "promoted on a laptop"], cwd=laptop, check=True)
    subprocess.run(["git", "clone", "-q", str(laptop), str(tmp_path / "team")], check=True)
    team = tmp_path / "team"
    assert registry.holders() == {}
    dvc(team, "pull", "--run-cache", "--allow-missing")
    said = dvc(team, "repro", "--pull")
    assert "Running stage 'promote'" in said
    assert "Running stage 'serve'" in said
    assert champion() == student(laptop)
    assert [one.number for one in registry.versions()] == ["1"]
    subprocess.run([*git, "commit", "-q", "-a", "-m", "promoted by the team"], cwd=team, check=True)
    again = dvc(team, "repro", "--pull")
    assert "Running stage" not in again, "its own result is true in its registry"
