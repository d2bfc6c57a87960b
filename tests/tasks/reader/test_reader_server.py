"""The reader's server: loopback, a token, headers, and no text that is more than text."""

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tasks.reader.server import HEADERS, listening
from tasks.schema.errors import BadInput
from tests.conftest import ROOT
from tests.tasks.reader.material import HOSTILE, TOKEN, built, run_folder, served


class Tags(HTMLParser):
    """Start tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def answer(url: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    """Status, body and headers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as got:
            return got.status, got.read().decode(), {name.lower(): value for name, value in got.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), {name.lower(): value for name, value in error.headers.items()}


@pytest.mark.integration
def test_only_the_token_opens_the_page_and_only_under_its_own_host_name(tmp_path: Path) -> None:
    index = built(run_folder(tmp_path / "data"), tmp_path / "cache")
    with served(index) as url:
        root = url.removesuffix(f"{TOKEN}/")
        status, page, headers = answer(url)
        assert (status, "evaluation (6)" in page) == (200, True)
        assert headers.items() >= {name.lower(): value for name, value in HEADERS.items()}.items()
        for wrong in ("", "other/", f"{TOKEN[:-1]}/", f"{TOKEN}x/", "reader.js", "%E2%98%83/", "../etc/passwd"):
            status, page, headers = answer(root + wrong)
            assert (status, page, "content-security-policy" in headers) == (404, "not found\n", True)
        assert answer(url, Host="evil.example")[0] == 400
        assert answer(f"{url}../../{TOKEN}/server.py")[0] == 404
        assert answer(f"{url}server.py")[0] == 404
        assert answer(f"{url}reader.js")[0] == 200


def test_planted_markup_is_text_on_every_page(tmp_path: Path) -> None:
    index = built(run_folder(tmp_path / "data"), tmp_path / "cache")
    with served(index, title=HOSTILE) as url:
        for collection in index.collections:
            page = answer(url + "?" + urlencode({"in": collection, "q": "", "at": 0}))[1]
            found = Tags(page)
            assert [attributes for tag, attributes in found.tags if tag == "script"] == [{"src": "reader.js", "defer": None}], collection
            assert not [tag for tag, _ in found.tags if tag in ("img", "iframe", "object", "style", "base")]
            assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on") or name == "style"]
            assert HOSTILE in found.text
        page = answer(url + "?" + urlencode({"q": HOSTILE}))[1]
        assert [tag for tag, _ in Tags(page).tags].count("script") == 1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("in=nowhere", "in: no collection nowhere"),
        ("at=x", "at: not a whole number"),
        ("least=y", "least: not a number"),
        ("sort=z", "sort: one of"),
    ],
)
def test_a_bad_address_is_one_line(tmp_path: Path, query: str, said: str) -> None:
    with served(built(run_folder(tmp_path / "data"), tmp_path / "cache")) as url:
        status, body, _ = answer(f"{url}?{query}")
        assert status == 400
        assert body.startswith(said)
        assert body.count("\n") == 1


def test_a_position_behind_the_end_shows_the_last_row_and_an_empty_list_says_so(tmp_path: Path) -> None:
    with served(built(run_folder(tmp_path / "data"), tmp_path / "cache")) as url:
        assert "6 of 6" in answer(f"{url}?at=999999")[1]
        assert "No row fits." in answer(f"{url}?q=nowhereatall")[1]


def test_the_six_grades_the_words_of_the_judge_and_the_thoughts_are_on_the_page(tmp_path: Path) -> None:
    with served(built(run_folder(tmp_path / "data"), tmp_path / "cache")) as url:
        text = Tags(answer(f"{url}?at=0")[1]).text
        assert all(name in text for name in ("relevance", "accuracy", "coherence", "clarity", "breadth and depth", "reading experience"))
        assert "Good enough." in text
        assert "First I think about bridges." in text


@pytest.mark.integration
def test_the_command_prints_an_address_with_a_random_token_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    data = run_folder(tmp_path / "data")
    command = [sys.executable, "-m", "flows.cli", "read", str(data), "--no-open"]
    urls = []
    for _ in range(2):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout
            urls.append(process.stdout.readline().strip())
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", urls[-1])
            process.stdout.readline()
            assert answer(urls[-1])[0] == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
            assert process.stderr
            assert "Traceback" not in process.stderr.read()
    assert urls[0].split("/")[3] != urls[1].split("/")[3]


@pytest.mark.parametrize("what", ["no/such/folder", "nothing"])
def test_the_command_refuses_what_is_not_there_in_one_line(tmp_path: Path, what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tasks.reader", what, "--no-open"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {what}")
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_one_line() -> None:
    with listening(0) as taken, pytest.raises(BadInput, match="leave out --port"):
        listening(taken.getsockname()[1])
