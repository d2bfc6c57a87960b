"""A folder is published completely or not at all, unchanged, and only once."""

from pathlib import Path
from typing import Any

import pytest

from tasks.schema.errors import BadInput, StorageError
from tasks.storage import publish as publishing
from tasks.storage import versions
from tasks.storage.client import connect
from tasks.storage.fetch import fetch, holds
from tasks.storage.place import Place
from tasks.storage.publish import publish
from tests.tasks.storage.conftest import PART
from tests.tasks.storage.servers import Proxy

MODEL, EXACT = "model.safetensors", "exact.safetensors"  # of three parts, and of one


def test_a_folder_comes_back_as_it_was(at: Place, folder: Path, tmp_path: Path) -> None:
    done = publish(folder, "checkpoint", to=at, part_size=PART, labels={"commit": "abc"}, label=None)
    assert (done.new, done.sent) == (True, 3)
    got = fetch("checkpoint", tmp_path / "got", source=at, label=None)
    assert holds(tmp_path / "got", done.manifest)
    assert (got.manifest.labels, got.fetched) == ({"commit": "abc"}, 5)
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_the_same_again_changes_nothing_and_other_content_is_refused(proxy: Proxy, at: Place, folder: Path) -> None:
    first = publish(folder, "data", to=at, version="v1", part_size=PART, label=None)
    proxy.done.clear()
    again = publish(folder, "data", to=at, version="v1", part_size=PART, label=None)
    assert (again.new, again.manifest) == (False, first.manifest)
    assert [request.method for request in proxy.done if request.method in ("PUT", "POST")] == []
    (folder / "more.txt").write_text("more")
    with pytest.raises(BadInput, match=r"versions/v1.json: this version already exists with other content; fix: use a new version number"):
        publish(folder, "data", to=at, version="v1", part_size=PART, label=None)
    assert versions.resolve(connect(), at, "data", "v1") == first.manifest


@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_a_version_is_there_only_when_its_last_file_is(proxy: Proxy, at: Place, folder: Path) -> None:
    seen = []
    proxy.rule = lambda request, before: seen.append(len(versions.versions(connect(), at, "data"))) if request.part == 3 else None
    publish(folder, "data", to=at, part_size=PART, label=None)
    order = [request.path for request in proxy.done if request.method in ("PUT", "POST")]
    assert order[-1].endswith(".json")
    assert "/versions/" in order[-1]
    assert seen == [0]


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_a_part_that_is_spoilt_on_its_way_is_sent_again(proxy: Proxy, at: Place, folder: Path, tmp_path: Path) -> None:
    """The flip of one byte, which neither TCP nor either server notices."""
    proxy.rule = lambda request, before: (
        "flip" if "/files/" in request.path and request.method == "PUT" and request.body and not before else None
    )
    publish(folder, "data", to=at, part_size=PART, label=None)
    proxy.rule = lambda request, before: None
    fetch("data", tmp_path / "got", source=at, label=None)
    assert (tmp_path / "got" / MODEL).read_bytes() == (folder / MODEL).read_bytes()


@pytest.mark.integration
@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_a_part_that_is_always_spoilt_ends_in_one_line_and_no_version(proxy: Proxy, at: Place, folder: Path) -> None:
    proxy.rule = lambda request, before: "flip" if request.part == 2 else None
    with pytest.raises(StorageError, match="the bytes are not what the manifest says"):
        publish(folder, "data", to=at, part_size=PART, label=None)
    assert versions.versions(connect(), at, "data") == []


@pytest.mark.integration
@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_connections_cut_in_mid_part_and_a_busy_server_are_sat_out(proxy: Proxy, at: Place, folder: Path, tmp_path: Path) -> None:
    faults = {1: "cut", 2: "503", 3: "503"}
    proxy.rule = lambda request, before: faults.get(request.part or 0) if before < 2 else None
    publish(folder, "data", to=at, part_size=PART, label=None)
    assert sorted(part for _, part in proxy.sent()) == [1, 2, 3]
    fetch("data", tmp_path / "got", source=at, label=None)


def test_what_a_reply_has_proven_is_not_asked_for(proxy: Proxy, at: Place, folder: Path) -> None:
    publish(folder, "data", to=at, part_size=PART, label=None)
    assert not any(request.method == "HEAD" for request in proxy.seen)


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_an_object_that_no_reply_proves_is_asked_for_and_waited_for(proxy: Proxy, at: Place, folder: Path) -> None:
    proxy.rule = lambda request, before: {"POST": "vague", "HEAD": "404" if before < 2 else None}.get(request.method)
    assert publish(folder, "data", to=at, part_size=PART, label=None).new
    assert [request.path.split("/")[-1] for request in proxy.seen if request.method == "HEAD"] == [MODEL] * 3


@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_an_object_that_no_reply_proves_and_that_never_shows_is_no_version(proxy: Proxy, at: Place, folder: Path) -> None:
    proxy.rule = lambda request, before: {"POST": "vague", "HEAD": "404"}.get(request.method)
    with pytest.raises(StorageError, match=r"model.safetensors: uploaded but not found afterwards; run again"):
        publish(folder, "data", to=at, part_size=PART, label=None)
    assert versions.versions(connect(), at, "data") == []


@pytest.mark.parametrize("name", [MODEL, EXACT])
def test_a_file_rewritten_at_the_same_size_after_its_digests_is_no_version_and_the_first_content_can_still_be_published(
    at: Place, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    first, kept = (folder / name).read_bytes(), publishing.kept

    def rewritten(*given: Any) -> Any:
        (folder / name).write_bytes(bytes(len(first)))
        return kept(*given)

    monkeypatch.setattr(publishing, "kept", rewritten)
    with pytest.raises((BadInput, StorageError), match=r"changed while|changed on their way|not what the"):
        publish(folder, "data", to=at, part_size=PART, label=None)
    monkeypatch.setattr(publishing, "kept", kept)
    assert versions.versions(connect(), at, "data") == []
    (folder / name).write_bytes(first)
    done = publish(folder, "data", to=at, part_size=PART, label=None)
    fetch("data", tmp_path / "got", source=at, label=None)
    assert holds(tmp_path / "got", done.manifest)


@pytest.mark.integration
@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_a_file_of_one_part_that_was_spoilt_to_the_last_is_sent_again_the_next_time(
    proxy: Proxy, at: Place, folder: Path, tmp_path: Path
) -> None:
    proxy.rule = lambda request, before: "flip" if EXACT in request.path and request.body else None
    with pytest.raises(StorageError, match="the bytes are not what the manifest says"):
        publish(folder, "data", to=at, part_size=PART, label=None)
    proxy.rule = lambda request, before: None
    done = publish(folder, "data", to=at, part_size=PART, label=None)
    fetch("data", tmp_path / "got", source=at, label=None)
    assert holds(tmp_path / "got", done.manifest)
