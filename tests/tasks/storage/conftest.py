"""Fixtures: a store on a real server, a folder to publish, and a proxy between them."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.schema.settings import settings
from tasks.storage import bucket, objects
from tasks.storage.client import connect
from tasks.storage.place import Place, place
from tests.tasks.storage import servers

PART = 5 * 2**20  # bytes; S3 takes no smaller part


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its URL, and the folder in which it keeps objects as files."""
    folder = tmp_path_factory.mktemp("rclone")
    with servers.rclone(folder) as url:
        yield url, folder / "s3"


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.moto(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for objects that show late are short here."""
    monkeypatch.setattr(objects, "PAUSE", 0.05)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.SECRET)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def use(monkeypatch: pytest.MonkeyPatch, endpoint: str, store: str) -> Place:
    monkeypatch.setenv("LONGWRITER_S3_ENDPOINT", endpoint)
    monkeypatch.setenv("LONGWRITER_STORE", store)
    settings.cache_clear()
    return place()


@pytest.fixture(params=["moto", "rclone"])
def endpoint(request: pytest.FixtureRequest) -> str:
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, str) else str(found[0])


@pytest.fixture
def at(endpoint: str, credentials: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    """A bucket of the test's own on either server."""
    found = use(monkeypatch, endpoint, f"s3://b-{tmp_path.name.replace('_', '-')[-40:].strip('-').lower()}-{random.randrange(10**6)}/team")
    bucket.make(connect(), found, plain=True)
    return found


@pytest.fixture
def proxy(at: Place, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.Proxy]:
    """Between the client and the server; the settings name it."""
    found = servers.Proxy(endpoint)
    use(monkeypatch, found.url, str(at))
    yield found
    found.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """13 MiB in three parts, a small file in a folder, an empty one, and one of exactly a part."""
    made, noise = tmp_path / "made", random.Random(7)
    (made / "tokenizer").mkdir(parents=True)
    (made / "model.safetensors").write_bytes(noise.randbytes(13 * 2**20))
    (made / "exact.safetensors").write_bytes(noise.randbytes(PART))
    (made / "tokenizer" / "config – 中.json").write_text("{}")
    (made / "empty.txt").write_bytes(b"")
    return made
