"""Versions are listed, aliased, linked and pruned; a new bucket is private."""

import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tasks.schema.errors import BadInput, StorageError
from tasks.storage import bucket, prune, versions
from tasks.storage.client import connect, preflight
from tasks.storage.fetch import fetch
from tasks.storage.place import Place
from tasks.storage.publish import publish
from tests.tasks.storage.conftest import use

DAY = 24 * 3600


def put(at: Place, tmp_path: Path, text: str, *, name: str = "data", uses: tuple[str, ...] = ()) -> str:
    folder = tmp_path / f"{name}-{text}"
    folder.mkdir(exist_ok=True)
    (folder / "data.txt").write_text(text)
    return publish(folder, name, to=at, version=text, uses=uses, label=None).manifest.version


def age(root: Path, at: Place, days: float, *, under: str) -> None:
    """Set back the clock of what the server keeps."""
    for path in (root / at.bucket / at.prefix / under).rglob("*"):
        os.utime(path, (path.stat().st_mtime - days * DAY,) * 2)  # in the order in which they came


@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_pruning_spares_the_newest_and_what_something_names(at: Place, rclone: tuple[str, Path], tmp_path: Path) -> None:
    root, client = rclone[1], connect()
    for text in ("v1", "v2", "v3", "v4"):
        put(at, tmp_path, text)
    put(at, tmp_path, "model", name="checkpoint", uses=("data/v2",))
    versions.set_alias(client, at, "data", "champion", "v3")
    client.put_object(Bucket=at.bucket, Key=at.content("data", "f" * 64) + "left.txt", Body=b"of a publication that never ended")
    age(root, at, 100, under="data")
    planned = prune.plan(client, at, "data", days=90)
    assert [one.manifest.version for one in planned.versions] == ["v1"]
    assert {one.manifest.version: why for one, why in planned.spared} == {
        "v2": "checkpoint/model was made from it",
        "v3": "is champion",
        "v4": "the newest",
    }
    assert sorted(Path(entry.key).name for entry in planned.objects) == ["data.txt", "left.txt"]
    assert len(versions.versions(client, at, "data")) == 4  # nothing was changed
    prune.prune(client, at, planned)
    assert [one.manifest.version for one in versions.versions(client, at, "data")] == ["v2", "v3", "v4"]
    for text in ("v2", "v3", "v4"):
        fetch("data", tmp_path / f"got-{text}", source=at, version=text, label=None)
    assert not list((root / at.bucket).rglob("left.txt"))


@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_what_is_young_stays_and_content_that_two_versions_share_stays_with_either(
    at: Place, rclone: tuple[str, Path], tmp_path: Path
) -> None:
    put(at, tmp_path, "v1")
    same = publish(tmp_path / "data-v1", "data", to=at, version="again", label=None)
    client = connect()
    assert prune.plan(client, at, "data", days=1).versions == ()
    old = rclone[1] / at.bucket / at.manifest("data", "v1")
    os.utime(old, (time.time() - 100 * DAY,) * 2)
    planned = prune.plan(client, at, "data", days=90)
    assert ([one.manifest.version for one in planned.versions], planned.objects) == (["v1"], ())
    prune.prune(client, at, planned)
    assert fetch("data", tmp_path / "got", source=at, label=None).manifest == same.manifest
    with pytest.raises(BadInput, match="give 1 or more"):
        prune.plan(client, at, "data", days=0.5)


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_uploads_that_nobody_went_on_with_are_pruned(at: Place, tmp_path: Path) -> None:
    """moto's unfinished uploads are of 2010."""
    client = connect()
    put(at, tmp_path, "v1")
    client.create_multipart_upload(Bucket=at.bucket, Key=at.content("data", "f" * 64) + "half.bin")
    planned = prune.plan(client, at, "data", days=90)
    assert len(planned.uploads) == 1
    prune.prune(client, at, planned)
    assert prune.plan(client, at, "data", days=90).uploads == ()


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_an_alias_moves_and_latest_is_the_newest(at: Place, tmp_path: Path) -> None:
    client = connect()
    with pytest.raises(BadInput, match="it has no such version; fix: name one of none yet"):
        versions.resolve(client, at, "data")
    put(at, tmp_path, "v2")
    time.sleep(1.1)  # S3's times are of seconds
    put(at, tmp_path, "v1")
    assert versions.resolve(client, at, "data").version == "v1"
    assert versions.set_alias(client, at, "data", "champion", "v2") == "v2"
    assert versions.set_alias(client, at, "data", "previous", "champion") == "v2"
    versions.set_alias(client, at, "data", "champion", "latest")
    assert versions.resolve(client, at, "data", "champion").version == "v1"
    assert {one.manifest.version: sorted(one.aliases) for one in versions.versions(client, at, "data")} == {
        "v2": ["previous"],
        "v1": ["champion"],
    }
    assert versions.names(client, at) == ["data"]
    for alias, version in (("latest", "v1"), ("v1", "v2"), ("champion", "v9")):
        with pytest.raises(BadInput):
            versions.set_alias(client, at, "data", alias, version)


def test_a_link_opens_one_file_without_credentials_until_it_ends(at: Place, tmp_path: Path) -> None:
    put(at, tmp_path, "v1")
    client, found = connect(), versions.resolve(connect(), at, "data")
    [link] = versions.links(client, at, found, seconds=60)
    assert urllib.request.urlopen(link.url).read() == b"v1"
    for seconds, only, said in ((0, None, "give 1 to"), (8 * DAY, None, "seven days"), (60, "other.txt", "no file other.txt")):
        with pytest.raises(BadInput, match=said):
            versions.links(client, at, found, seconds=seconds, only=only)


def test_a_bucket_is_made_closed_encrypted_versioned_and_deaf_to_plain_http(
    moto: str, credentials: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at = use(monkeypatch, moto, "s3://closed-bucket/team")
    client = connect()
    assert bucket.make(client, at) == bucket.make(client, at)
    name = at.bucket
    assert all(client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    rule = client.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert client.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert client.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"][0]["AbortIncompleteMultipartUpload"] == {
        "DaysAfterInitiation": bucket.ABORT_DAYS
    }
    assert json.loads(client.get_bucket_policy(Bucket=name)["Policy"]) == bucket.tls_only(name)
    with pytest.raises(StorageError, match="403"):  # moto keeps to the policy, and speaks plain HTTP
        put(at, tmp_path, "v1")


@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_a_server_that_knows_no_more_than_buckets_says_so(at: Place) -> None:
    with pytest.raises(StorageError, match="PutPublicAccessBlock refused"):
        bucket.make(connect(), at)
    bucket.make(connect(), at, plain=True)
    preflight(connect(), at)
