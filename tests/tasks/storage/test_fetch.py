"""A fetch returns exactly the published content, complete, inside its folder."""

import fcntl
import os
from pathlib import Path

import pytest

from tasks import store
from tasks.schema.errors import BadInput, StorageError, WorkspaceBusy
from tasks.storage import manifest
from tasks.storage.client import connect
from tasks.storage.fetch import fetch, holds
from tasks.storage.manifest import Manifest, ManifestFile, Sealed, content, digests_of, seal, unseal
from tasks.storage.place import Place
from tasks.storage.publish import publish
from tests.tasks.storage.conftest import PART
from tests.tasks.storage.servers import Proxy, Request

MODEL, EXACT = "model.safetensors", "exact.safetensors"  # of three parts, and of one
FAR = [  # names that a reader must never follow, FAULTS 38
    *("../a", "a/../../b", "..", ".", "./a", "a/./b", "a/..", "/etc/passwd", "//host/share", "/", "", "a//b", "a/", "/a/"),
    *("C:/a", "c:a", "C:\\a", "\\\\host\\share", "..\\a", "a\\..\\b", "a\x00b", "a\nb", "a\rb", "a\x1bb", "\x7f", "a\x85b"),
    *(
        "...",
        "a/...",
        "a/. ./b",
        " ",
        "a/ /b",
        ". /b",
        "x" * 256,
        "a/" * 500 + "b",
        "中" * 86,
        "\ud800",
        "a/\udfffb",
        ".. ",
        "~/..",
        "a/..",
    ),
]


def ones(request: Request, name: str = MODEL) -> bool:
    return request.method == "GET" and name in request.path


@pytest.mark.integration
@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_a_part_that_comes_in_damaged_cut_off_or_late_is_fetched_again(proxy: Proxy, at: Place, folder: Path, tmp_path: Path) -> None:
    publish(folder, "data", to=at, part_size=PART, label=None)
    faults = {0: "flip reply", PART: "truncate", 2 * PART: "503"}
    proxy.rule = lambda request, before: faults.get(request.start or 0) if ones(request) and not before else None
    fetch("data", tmp_path / "got", source=at, label=None)
    assert (tmp_path / "got" / MODEL).read_bytes() == (folder / MODEL).read_bytes()
    proxy.rule = lambda request, before: "404" if ones(request) and before < 2 else None
    fetch("data", tmp_path / "other", source=at, label=None)
    assert (tmp_path / "other" / MODEL).read_bytes() == (folder / MODEL).read_bytes()


@pytest.mark.integration
@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
@pytest.mark.parametrize("fault", ["flip reply", "truncate", "cut", "503", "404"])
def test_a_file_of_one_part_that_comes_in_spoilt_is_fetched_again(
    proxy: Proxy, at: Place, folder: Path, tmp_path: Path, fault: str
) -> None:
    done = publish(folder, "data", to=at, part_size=PART, label=None)
    proxy.rule = lambda request, before: fault if ones(request, EXACT) and before < 2 else None
    fetch("data", tmp_path / "got", source=at, label=None)
    assert holds(tmp_path / "got", done.manifest)
    assert sum(ones(request, EXACT) for request in proxy.seen) == 3


@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
@pytest.mark.parametrize(("name", "start"), [(MODEL, PART), (EXACT, 0)])
def test_a_part_that_is_always_damaged_is_an_error_and_no_folder_and_what_came_in_whole_is_kept(
    proxy: Proxy, at: Place, folder: Path, tmp_path: Path, name: str, start: int
) -> None:
    publish(folder, "data", to=at, part_size=PART, label=None)
    proxy.rule = lambda request, before: "flip reply" if ones(request, name) and request.start == start else None
    with pytest.raises(StorageError, match="not what the manifest says, again and again: nothing is taken from it"):
        fetch("data", tmp_path / "got", source=at, label=None)
    assert not (tmp_path / "got").exists()
    proxy.rule = lambda request, before: None
    done = fetch("data", tmp_path / "got", source=at, label=None)
    assert holds(tmp_path / "got", done.manifest)
    assert done.fetched + done.spared == 5
    assert 1 <= done.spared <= 4


@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_every_file_is_on_the_disk_before_the_folder_shows(
    at: Place, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = publish(folder, "data", to=at, part_size=PART, label=None)
    flushed: dict[int, int] = {}  # bytes by inode
    shown = []

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        flushed[found.st_ino] = found.st_size

    def take_place(scratch: Path, target: Path) -> None:
        shown.append(all(flushed.get(path.stat().st_ino) == path.stat().st_size for path in (scratch, *scratch.rglob("*"))))
        assert holds(scratch, done.manifest)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(store, "take_place", take_place)
    fetch("data", tmp_path / "got", source=at, label=None)
    assert shown == [True]


@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_a_damaged_manifest_is_asked_for_again_and_never_used(proxy: Proxy, at: Place, folder: Path, tmp_path: Path) -> None:
    publish(folder, "data", to=at, part_size=PART, label=None)
    proxy.rule = lambda request, before: "flip reply" if request.path.endswith(".json") and request.method == "GET" and before < 2 else None
    fetch("data", tmp_path / "got", source=at, label=None)
    proxy.rule = lambda request, before: "flip reply" if request.path.endswith(".json") and request.method == "GET" else None
    with pytest.raises(StorageError, match="nothing is taken from it"):
        fetch("data", tmp_path / "other", source=at, label=None)


@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_a_folder_with_something_else_in_it_is_left_alone_unless_told(at: Place, folder: Path, tmp_path: Path) -> None:
    done = publish(folder, "data", to=at, part_size=PART, label=None)
    fetch("data", target := tmp_path / "got", source=at, label=None)
    assert not fetch("data", target, source=at, label=None).new
    (target / "mine.txt").write_text("mine")
    with pytest.raises(BadInput, match="already exists with other content"):
        fetch("data", target, source=at, label=None)
    assert (target / "mine.txt").read_text() == "mine"
    assert fetch("data", target, source=at, replace=True, label=None).new
    assert not (target / "mine.txt").exists()
    scratch = tmp_path / f".other.{done.manifest.content[:12]}.part"
    scratch.mkdir()
    held = os.open(scratch, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(WorkspaceBusy, match="another process fetches it"):
        fetch("data", tmp_path / "other", source=at, label=None)
    os.close(held)


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_no_name_in_a_manifest_leads_out_of_the_folder(at: Place, tmp_path: Path) -> None:
    """Every name is planted in a manifest that is right in all else; some of them go through the server."""
    (tmp_path / "one").write_bytes(b"x")
    parts = tuple(digests_of(tmp_path / "one", PART))
    client, before = connect(), sorted(tmp_path.rglob("*"))
    refused = 0
    for number, name in enumerate(FAR):
        file = ManifestFile.model_construct(path=name, size=1, parts=parts)
        try:
            digest = content([file], PART)
        except TypeError:  # a lone surrogate cannot even be written as JSON
            refused += 1
            continue
        planted = Manifest.model_construct(
            format=1, name="data", version=f"v{number}", content=digest, part_size=PART, files=(file,), labels={}, uses=()
        )
        sealed = Sealed.model_construct(sha256=manifest._seal(planted), manifest=planted)
        text = sealed.model_dump_json().encode()
        with pytest.raises(BadInput, match=r"refused: "):
            unseal(text, source="s3://b/m")
        if number % 10 == 0:
            client.put_object(Bucket=at.bucket, Key=at.manifest("data", planted.version), Body=text)
            with pytest.raises(BadInput, match=r"refused: "):
                fetch("data", tmp_path / "got", source=at, version=planted.version, label=None)
        refused += 1
    assert refused == len(FAR) == 40
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
@pytest.mark.parametrize("size", [1, 4, 6, PART])
def test_a_size_that_contradicts_the_digest_is_never_verified(size: int, at: Place, tmp_path: Path) -> None:
    """Names, digests and seal are right; the file has five bytes."""
    (tmp_path / "one").write_bytes(b"bread")
    files = (ManifestFile(path="one", size=size, parts=tuple(digests_of(tmp_path / "one", PART))),)
    lie = Manifest(name="data", version="v", content=content(files, PART), part_size=PART, files=files)
    client = connect()
    client.put_object(Bucket=at.bucket, Key=at.content("data", lie.content) + "one", Body=b"bread")
    client.put_object(Bucket=at.bucket, Key=at.manifest("data", "v"), Body=seal(lie))
    with pytest.raises(StorageError, match="not what the manifest says"):
        fetch("data", tmp_path / "got", source=at, version="v", label=None)
    assert not (tmp_path / "got").exists()


def test_a_file_without_bytes_has_the_digest_of_none(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"bread")
    for size, content_of in ((0, b"bread"), (5, b"")):
        (tmp_path / "one").write_bytes(content_of)
        files = (ManifestFile(path="one", size=size, parts=tuple(digests_of(tmp_path / "one", PART))),)
        with pytest.raises(ValueError, match="and the digest of"):
            Manifest(name="data", version="v", content=content(files, PART), part_size=PART, files=files)


@pytest.mark.parametrize("names", [("a", "A"), ("a", "a/b"), ("é", "e\u0301"), ("x/a", "X/a")])
def test_names_that_are_one_file_on_some_systems_are_refused(names: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x")
    files = tuple(ManifestFile(path=name, size=1, parts=tuple(digests_of(tmp_path / "one", PART))) for name in names)
    with pytest.raises(BadInput, match="conflicts with"):
        Manifest(name="data", version="v", content=content(files, PART), part_size=PART, files=files)


def test_every_flipped_byte_of_a_manifest_shows(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x")
    files = (ManifestFile(path="one", size=1, parts=tuple(digests_of(tmp_path / "one", PART))),)
    whole = Manifest(name="data", version="v", content=content(files, PART), part_size=PART, files=files, labels={"by": "us"})
    text = seal(whole)
    assert Sealed.model_validate_json(text).manifest == whole
    for place in range(len(text)):
        spoilt = text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :]
        try:
            assert unseal(spoilt, source="s3://b/m") == whole  # white space is no content
        except (StorageError, BadInput):
            continue
