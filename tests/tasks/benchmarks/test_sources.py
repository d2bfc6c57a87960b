"""Authors' files, fetched from a real HTTP server on loopback."""

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tasks.benchmarks.longbench_write import SOURCE
from tasks.benchmarks.sources import Pin, PinnedSource, fetch
from tasks.longbench.adapters import read_items
from tasks.schema.errors import BadInput, EndpointError
from tests.conftest import SHARED
from tests.web import Quiet, served

Answer = Callable[[str], tuple[int, bytes, int]]  # of a path: the status, the body and the Content-Length


class Mirror(NamedTuple):
    url: str
    asked: list[str]  # paths, in order


@pytest.fixture
def mirror(request: pytest.FixtureRequest) -> Iterator[Callable[[Answer], Mirror]]:
    servers = ExitStack()

    def start(answer: Answer) -> Mirror:
        asked: list[str] = []

        class Handler(Quiet):
            def do_GET(self) -> None:
                asked.append(self.path)
                status, body, length = answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)

        return Mirror(f"{servers.enter_context(served(Handler))}/mirror", asked)

    with servers:
        yield start


FILES = {"a/one.jsonl": b'{"prompt": "p", "length": 5}\n', "b/two.txt": b"Judge $INST$."}


PINS = tuple(Pin(path, len(body), hashlib.sha256(body).hexdigest()) for path, body in FILES.items())
SMALL = PinnedSource("made/up", "0123456" * 5, PINS)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed try is followed at once by the next."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)


def content(path: str) -> bytes:
    return FILES[path.removeprefix("/mirror/")]


def fine(path: str) -> tuple[int, bytes, int]:
    return 200, content(path), len(content(path))


def papers(data: Path) -> tuple[Path, PinnedSource]:
    """The folder of the paper's files, and their source; of made files, with their own digests."""
    folder = data / "longbench_write"
    if data == SHARED:
        return folder, SOURCE
    bodies = {pin.path: (folder / Path(pin.path).name).read_bytes() for pin in SOURCE.pins if (folder / Path(pin.path).name).is_file()}
    return folder, SOURCE._replace(pins=tuple(Pin(path, len(body), hashlib.sha256(body).hexdigest()) for path, body in bodies.items()))


def test_the_papers_files_are_fetched_once_and_read(tmp_path: Path, mirror: Callable[[Answer], Mirror], data: Path) -> None:
    folder, source = papers(data)

    def published(path: str) -> tuple[int, bytes, int]:
        body = (folder / Path(path).name).read_bytes()
        return 200, body, len(body)

    site = mirror(published)
    found = fetch(source, tmp_path / "official", mirror=site.url)
    assert sorted(site.asked) == sorted(f"/mirror/{pin.path}" for pin in source.pins)
    assert {path.name: path.read_bytes() for path in found} == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(read_items(tmp_path / "official" / "longbench_write.jsonl").items) == 120
    fetch(source, tmp_path / "official", mirror=site.url)
    assert len(site.asked) == len(source.pins)


def test_a_folder_is_as_good_a_source_as_a_url(tmp_path: Path, data: Path) -> None:
    folder, source = papers(data)
    assert len(fetch(source, tmp_path, mirror=str(folder))) == len(source.pins)


def test_only_a_file_that_is_gone_or_wrong_is_fetched_again(tmp_path: Path, mirror: Callable[[Answer], Mirror]) -> None:
    fetch(SMALL, tmp_path, mirror=mirror(fine).url)
    (tmp_path / "two.txt").write_bytes(b"Judge $INST$!")
    site = mirror(fine)
    fetch(SMALL, tmp_path, mirror=site.url)
    assert (site.asked, (tmp_path / "two.txt").read_bytes()) == (["/mirror/b/two.txt"], FILES["b/two.txt"])


@pytest.mark.parametrize("body", [b"Judge $INST$!", b"Judge", b"Judge $INST$." * 10**6])
def test_another_file_than_the_papers_is_one_line_and_nothing_is_written(
    tmp_path: Path, mirror: Callable[[Answer], Mirror], body: bytes
) -> None:
    site = mirror(lambda path: (200, body, len(body)) if path.endswith(".txt") else fine(path))
    with pytest.raises(BadInput) as error:
        fetch(SMALL, tmp_path, mirror=site.url)
    assert str(error.value).startswith(f"{site.url}/b/two.txt: not the file of made/up at 0123456: SHA-256 ")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_what_passes_is_tried_again(tmp_path: Path, mirror: Callable[[Answer], Mirror]) -> None:
    troubles = iter([(503, b"", 0), (200, b"Jud", 13), (429, b"", 0)])
    site = mirror(lambda path: next(troubles, None) or fine(path) if path.endswith(".txt") else fine(path))
    fetch(SMALL, tmp_path, mirror=site.url)
    assert len(site.asked) == 5


@pytest.mark.parametrize(
    ("status", "tries", "said"), [(404, 1, "answers 404 Not Found; check the source"), (500, 4, "answers 500, 4 times")]
)
def test_a_source_that_fails_is_named(tmp_path: Path, mirror: Callable[[Answer], Mirror], status: int, tries: int, said: str) -> None:
    site = mirror(lambda path: (status, b"", 0))
    with pytest.raises(EndpointError, match=f"/mirror/a/one.jsonl: {said}"):
        fetch(SMALL, tmp_path, mirror=site.url)
    assert len(site.asked) == tries


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match="refused, 4 times; check the network, or give a mirror"):
        fetch(SMALL, tmp_path, mirror="http://127.0.0.1:9")
    with pytest.raises(BadInput, match=r"a/one\.jsonl: no such file; fix: give a URL, or a folder"):
        fetch(SMALL, tmp_path, mirror=str(tmp_path / "none"))


def test_a_file_may_be_pinned_by_gits_name_of_its_content(tmp_path: Path) -> None:
    body = b"What git stores.\n"
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    named = (
        subprocess.run(["git", "hash-object", "--stdin"], cwd=tmp_path, input=body, capture_output=True, check=True).stdout.decode().strip()
    )
    source = PinnedSource("made/up", "0" * 40, (Pin("a/one.jsonl", None, blob=named),))
    (tmp_path / "one.jsonl").write_bytes(body)
    (kept,) = fetch(source, tmp_path / "kept", mirror=str(tmp_path))
    assert kept.read_bytes() == body
    (tmp_path / "one.jsonl").write_bytes(body + b"!")
    with pytest.raises(BadInput, match=r"one\.jsonl: not the file of made/up at 0000000: 18 bytes that git does not name"):
        fetch(source, tmp_path / "other", mirror=str(tmp_path))
    assert not (tmp_path / "other").exists()
