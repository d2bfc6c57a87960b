"""Checkpoints in a real S3 server: another scratch folder with the same name resumes from them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.schema.settings import settings
from tasks.storage import bucket
from tasks.storage.client import connect
from tasks.storage.place import place
from tasks.training import checkpoint_sync, checkpoints
from tasks.training.job import HISTORY
from tests.tasks.storage import servers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("rclone")
    with servers.rclone(folder) as url:
        yield url, folder / "s3"


@pytest.fixture
def files(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store's folder on the server's disk."""
    url, folder = server
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.SECRET)
    monkeypatch.setenv("LONGWRITER_S3_ENDPOINT", url)
    monkeypatch.setenv("LONGWRITER_CHECKPOINT_STORE", "s3://shared/checkpoints")
    settings.cache_clear()
    if not (folder / "shared").exists():
        bucket.make(connect(), place("s3://shared/checkpoints"), plain=True)
    return folder / "shared" / "checkpoints"


def checkpoint(scratch: Path, step: int) -> Path:
    folder = scratch / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes([step]) * 1000)
    (folder / "optimizer.pt").write_bytes(b"torch's own")
    with (scratch / HISTORY).open("a") as file:
        file.write(f'{{"step": {step}}}\n')
    checkpoints.seal(folder, world=1)
    return folder


def test_another_machine_goes_on_from_the_newest(files: Path, tmp_path: Path) -> None:
    said: list[str] = []
    one, other = tmp_path / "one" / "abc", tmp_path / "other" / "abc"
    for step in (5, 10, 20):
        checkpoint_sync.send(checkpoint(one, step), warn=said.append)
    assert said == []
    checkpoint_sync.restore(other, world=1, warn=said.append)
    assert said == ["going on from checkpoint-20, which another machine left in the store"]
    assert checkpoints.newest(other, world=1, warn=said.append) == other / "checkpoint-20"
    assert (other / HISTORY).read_text() == (one / HISTORY).read_text()
    assert sorted(path.name for path in other.parent.iterdir()) == ["abc"]


def test_one_that_is_as_new_is_kept_and_another_trainings_is_not_taken(files: Path, tmp_path: Path) -> None:
    said: list[str] = []
    checkpoint_sync.send(checkpoint(tmp_path / "one" / "def", 10), warn=said.append)
    mine = checkpoint(tmp_path / "other" / "def", 15)
    for scratch in (mine.parent, tmp_path / "other" / "another"):
        checkpoint_sync.restore(scratch, world=1, warn=said.append)
    assert [path.name for path in mine.parent.glob("checkpoint-*")] == ["checkpoint-15"]
    assert not (tmp_path / "other" / "another").exists()
    assert said == []


def test_one_of_another_number_of_processes_is_not_used(files: Path, tmp_path: Path) -> None:
    said: list[str] = []
    folder = checkpoint(tmp_path / "one" / "shards", 10)
    (folder / "latest").write_text("global_step10")  # DeepSpeed's
    checkpoints.seal(folder, world=1)
    checkpoint_sync.send(folder, warn=said.append)
    checkpoint_sync.restore(tmp_path / "other" / "shards", world=2, warn=said.append)
    assert said == ["checkpoint-10 from the store: 1 processes wrote its shards, there are 2 now; it is not used"]
    assert checkpoints.newest(tmp_path / "other" / "shards", world=2, warn=said.append) is None


def test_a_store_that_is_away_is_a_warning_when_sending(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    settings.cache_clear()
    said: list[str] = []
    checkpoint_sync.send(checkpoint(tmp_path / "abc", 5), warn=said.append)
    assert len(said) == 1
    assert said[0].startswith("checkpoint-5 is on this machine alone: ")


def test_nothing_is_sent_or_fetched_where_no_store_is_named(tmp_path: Path) -> None:
    said: list[str] = []
    checkpoint_sync.send(checkpoint(tmp_path / "abc", 5), warn=said.append)
    checkpoint_sync.restore(tmp_path / "def", world=1, warn=said.append)
    assert said == []
    assert not (tmp_path / "def").exists()
