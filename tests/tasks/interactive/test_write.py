"""`longwriter write` against the rehearsal endpoint over HTTP, also killed and interrupted; files read back by their own libraries."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import chdir, suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest
from docx import Document as read_docx

from flows.cli import app
from tasks.interactive.documents import Chapter, Document, save, title_of
from tests.commands import called
from tests.conftest import ROOT

ESSAY = "Write a 300-word essay about the history of bread."
COMMAND = [sys.executable, "-m", "flows.cli", "write"]


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """The URL of a rehearsal endpoint in a process of its own, a quarter of a second for each reply."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "tasks.rehearsal.endpoint", "--port", str(port), "--switch", "latency=0.25"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
                break
            assert process.poll() is None
            time.sleep(0.1)
        yield f"{url}/v1"
    finally:
        process.kill()
        process.wait()


def served(url: str) -> dict[str, int]:
    """How often the endpoint answered each request."""
    with urllib.request.urlopen(url.replace("/v1", "/served"), timeout=10) as answer:
        found: dict[str, int] = json.load(answer)
        return found


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "LONGWRITER_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"} | more


def write(tmp_path: Path, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """In this process."""
    with chdir(tmp_path):
        return called(app, ("write", *words), {"LONGWRITER_HOME": str(tmp_path / "home"), **more})


@pytest.mark.integration
def test_a_killed_write_goes_on_and_pays_nothing_twice(endpoint: str, tmp_path: Path) -> None:
    words = [ESSAY, "--model", endpoint, "--name", "rehearsal-teacher", "--profile", "rehearsal", "--out", "bread.md"]
    process = subprocess.Popen([*COMMAND, *words], cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, text=True)
    assert process.stdout
    while "paragraph 2 of" not in (line := process.stdout.readline()):
        assert line, "it ended before its second paragraph"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    paid = served(endpoint)
    assert 3 <= len(paid) < 8
    again = write(tmp_path, *words)
    assert again.returncode == 0, again.stderr
    assert set(served(endpoint).values()) == {1}
    assert "from the journal" in again.stdout
    text = (tmp_path / "bread.md").read_text()
    assert all(paragraph in again.stdout for paragraph in text.strip().split("\n\n"))


@pytest.mark.integration
def test_an_interrupted_write_keeps_what_was_written(endpoint: str, tmp_path: Path) -> None:
    words = [ESSAY, "--model", endpoint, "--name", "rehearsal-teacher", "--profile", "rehearsal", "--out", "bread.md"]
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    while "paragraph 2 of" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "run again" in said
    assert len((tmp_path / "bread.partial.md").read_text().split("\n\n")) >= 2
    assert not (tmp_path / "bread.md").exists()
    assert write(tmp_path, *words).returncode == 0
    assert not (tmp_path / "bread.partial.md").exists()
    assert set(served(endpoint).values()) == {1}


@pytest.mark.integration
def test_another_take_writes_another_text_and_the_same_one_is_free(endpoint: str, tmp_path: Path) -> None:
    words = [ESSAY, "--model", endpoint, "--name", "rehearsal-teacher", "--profile", "rehearsal", "--json", "--force", "--out", "a.md"]
    first, same, other = (json.loads(write(tmp_path, *words, "--take", take).stdout) for take in ("1", "1", "2"))
    assert first["text"] == same["text"]
    assert same["calls"] == 0
    assert other["calls"] == first["calls"] > 0


def test_without_a_key_the_teacher_of_a_profile_writes_and_every_format_is_saved(tmp_path: Path) -> None:
    done = write(tmp_path, ESSAY, "--profile", "rehearsal", *(f"--out=b{suffix}" for suffix in (".md", ".docx", ".epub")))
    assert done.returncode == 0, done.stderr
    assert "is a stand-in that answers by rules" in done.stderr
    assert "Plan: 6 paragraphs" in done.stdout
    assert "300 words of 300 (S_l 100.0)" in done.stdout
    paragraphs = (tmp_path / "b.md").read_text().strip().split("\n\n")
    assert len(paragraphs) == 6
    in_docx = [text for style, text in styles(tmp_path / "b.docx") if style == "Normal"]
    assert in_docx == [paragraph.replace("\n", " ") for paragraph in paragraphs]
    (page,) = pages(tmp_path / "b.epub")
    assert [" ".join(text.split()) for text in page] == in_docx


def test_a_price_shows_the_expected_and_the_real_cost(endpoint: str, tmp_path: Path) -> None:
    words = [ESSAY, "--model", endpoint, "--name", "rehearsal-teacher", "--profile", "rehearsal"]
    done = write(tmp_path, *words, LONGWRITER_PRICES='{"rehearsal-teacher": {"prompt": 2.5, "completion": 10}}')
    assert done.returncode == 0, done.stderr
    assert " of about $0.0" in done.stdout
    assert [path.name for path in tmp_path.glob("*.md")] == ["write-a-300-word-essay-about-the-history.md"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["An essay about bread."], "names no length; fix: name one in it"),
        ([" "], "is empty"),
        (["Écrivez un essai de 300 mots sur l'histoire du pain et de la farine."], "its language is fr"),
        ([ESSAY, "--out", "a.pdf"], "cannot be saved as .pdf; fix: end its name in .md, .docx, .epub"),
        ([ESSAY, "--out", "there.md"], "already exists"),
        ([ESSAY, "--model", "nowhere"], "no such folder"),
        ([ESSAY, "--profile", "nothing"], "no such file"),
        ([ESSAY, "--model", "http://127.0.0.1:9/v1"], "cannot connect"),
        (["Write 9,000,000 words on bread.", "--profile", "rehearsal"], "no usable plan"),
    ],
)
def test_what_cannot_be_written_is_one_line_and_costs_nothing(tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "there.md").write_text("mine")
    done = write(tmp_path, *words)
    assert done.returncode in (1, 2)
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert (tmp_path / "there.md").read_text() == "mine"


def test_the_spend_cap_stops_before_it_is_passed(endpoint: str, tmp_path: Path) -> None:
    prices = {"LONGWRITER_PRICES": '{"rehearsal-teacher": {"prompt": 2500, "completion": 10000}}', "LONGWRITER_SPEND_CAP": "0.5"}
    done = write(tmp_path, ESSAY, "--out", "a.md", LONGWRITER_TEACHER_URL=endpoint, **prices)
    assert done.returncode != 0
    assert not (tmp_path / "a.md").exists()


MARKDOWN = """# The <b>loaf</b>

Flour & water, *slowly*, then **salt**; `autolyse`.

- one
- two

> quoted

```
code <tag>
```
"""


def styles(path: Path) -> list[tuple[str | None, str]]:
    """The style and the text of each paragraph of a DOCX file."""
    return [(one.style.name if one.style else None, one.text) for one in read_docx(str(path)).paragraphs]


def pages(path: Path) -> list[list[str]]:
    """The paragraphs of each page of an EPUB. Every page is well-formed XML."""
    with zipfile.ZipFile(path) as book:
        assert book.namelist()[0] == "mimetype"
        assert book.testzip() is None
        names = sorted(name for name in book.namelist() if name.endswith(".xhtml") and "toc" not in name)
        trees = [ElementTree.fromstring(book.read(name)) for name in names]
    return [["".join(one.itertext()) for one in tree.iter("{http://www.w3.org/1999/xhtml}p")] for tree in trees]


def test_markup_keeps_its_meaning_and_html_is_text(tmp_path: Path) -> None:
    document = Document("A <title> & more", "en", [Chapter("", MARKDOWN)])
    save(document, tmp_path / "a.docx")
    found = read_docx(str(tmp_path / "a.docx")).paragraphs
    assert styles(tmp_path / "a.docx") == [
        ("Heading 1", "The <b>loaf</b>"),
        ("Normal", "Flour & water, slowly, then salt; autolyse."),
        ("List Bullet", "one"),
        ("List Bullet", "two"),
        ("Quote", "quoted"),
        ("Normal", "code <tag>"),
    ]
    assert [run.text for run in found[1].runs if run.bold] == ["salt"]
    save(document, tmp_path / "a.epub")
    assert pages(tmp_path / "a.epub")[0][:1] == ["Flour & water, slowly, then salt; autolyse."]
    with zipfile.ZipFile(tmp_path / "a.epub") as book:
        assert "&lt;b&gt;loaf" in "".join(book.read(name).decode() for name in book.namelist() if name.endswith(".xhtml"))


def test_chapters_are_pages_and_headings_and_no_part_of_the_markdown(tmp_path: Path) -> None:
    document = Document("Two parts", "zh", [Chapter("第一章", "面包。"), Chapter("第二章", "水。\x00\ud800")])
    for suffix in (".docx", ".epub"):
        save(document, tmp_path / f"a{suffix}")
    save(document._replace(chapters=document.chapters[:1]), tmp_path / "a.md")
    assert (tmp_path / "a.md").read_text() == "面包。\n"
    headings = [text for style, text in styles(tmp_path / "a.docx") if style == "Heading 1"]
    assert headings == ["第一章", "第二章"]
    assert pages(tmp_path / "a.epub") == [["面包。"], ["水。"]]


def test_a_title_is_the_texts_own_heading_or_the_prompts_beginning() -> None:
    assert title_of("Write a guide", "## Sourdough\n\nFlour.") == "Sourdough"
    assert title_of("  Write a\nguide ", "Flour.") == "Write a guide"
    assert len(title_of("word " * 100, "")) == 80
