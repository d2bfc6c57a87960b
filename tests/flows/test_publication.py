"""A flow publishes its stages' results to a real S3 server, and checks the credentials before it begins."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow

from flows import publication, stages
from flows.longwriter import longwriter
from tasks.schema.errors import StorageError
from tasks.schema.settings import settings
from tasks.storage import bucket, versions
from tasks.storage.client import connect
from tasks.storage.place import place
from tests.tasks.storage import servers

pytestmark = pytest.mark.usefixtures("api")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "server").mkdir()
    with servers.rclone(tmp_path / "server") as url:
        for name, value in {
            "AWS_ACCESS_KEY_ID": servers.KEY,
            "AWS_SECRET_ACCESS_KEY": servers.SECRET,
            "AWS_CONFIG_FILE": os.devnull,
            "LONGWRITER_S3_ENDPOINT": url,
            "LONGWRITER_STORE": "s3://bucket/team",
        }.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        bucket.make(connect(), place(), plain=True)
        yield


@pytest.mark.integration
def test_a_flow_publishes_after_the_stage_and_wrong_credentials_stop_it_before_the_first(
    done: Path, store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (done / "release").mkdir()
    (done / "release" / "data.txt").write_text("data")
    monkeypatch.setattr(publication, "AFTER", {"second": [["publish", "toy", "release"]]})
    longwriter(push=True)
    assert [one.manifest.name for one in versions.versions(connect(), place(), "toy")] == ["toy"]
    longwriter(push=True)
    assert len(versions.versions(connect(), place(), "toy")) == 1
    (done / "in.txt").write_text("other words\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StorageError, match="the secret key does not fit"):
        longwriter(push=True)
    assert not (done / "ran.log").exists()  # no stage ran
    longwriter()
    assert (done / "ran.log").exists()


@flow(name="third alone")
def third_alone() -> dict[str, str]:
    return stages.run("third", push=True, alone=True)


@pytest.mark.integration
def test_a_publication_that_fails_is_told_by_its_own_line(done: Path, store: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "AFTER", {"second": [["publish", "toy", "no-such-folder"]]})
    with pytest.raises(stages.StageFailed, match=r"tasks.storage publish: no-such-folder: no such folder"):
        longwriter(push=True)
    assert set(third_alone().values()) == {"Cached"}, "of a stage that was handed over, only its own results are published"
