"""The report and the reader in a real browser: desktop and phone, light and dark, print, the keyboard alone, contrast, planted scripts."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tasks import report, stage_times, store
from tasks.schema.records import ScoredItem
from tasks.text.degeneration import degeneration
from tests.browser import CHROMIUM, Browser, browser
from tests.conftest import ROOT
from tests.tasks.finished import finished_run, with_base
from tests.tasks.reader.material import HOSTILE, built, run_folder, served

pytestmark = [pytest.mark.timeout(300), pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")]
DESKTOP, PHONE = (1400, 900), (390, 844)
TAB, ENTER = 9, 13
WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[str]:
    index = built(run_folder(tmp_path / "data", models=("student", "control", "base")), tmp_path / "cache")
    with served(index) as url:
        yield url


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a small run with planted texts and everything that it can show."""
    folder = tmp_path_factory.mktemp("report")
    data = with_base(finished_run(folder / "data", hostile=HOSTILE))
    items = store.read_list(data / "score/items.jsonl", ScoredItem)
    measured = degeneration("He knew it. " * 30, finish_reason="length")
    store.write(data / "score/items.jsonl", [item.model_copy(update={"degeneration": measured}) for item in items])
    stage_times.record(data / "collect", seconds=7.0, at=1.0)
    (folder / "out").mkdir()
    report.run(data, folder / "metrics", folder / "plots", folder / "out")
    return (folder / "out/report.html").as_uri()


def words(tab: Browser) -> str:
    return str(tab.run("document.body.innerText"))


def wait_for(tab: Browser, url: str, *awaited: str, size: tuple[int, int] = DESKTOP, dark: bool = False) -> str:
    tab.window(*size, dark=dark, phone=size == PHONE)
    tab.text(url, *awaited)
    until(tab, "document.styleSheets.length")
    return words(tab)


def until(tab: Browser, script: str) -> None:
    """Wait until the page that a key or a click opens is loaded and an expression is true in it."""
    end = time.monotonic() + 60
    while not tab.run(f"document.readyState === 'complete' && Boolean({script})"):
        assert time.monotonic() < end, f"never true: {script}: {words(tab)[:500]}"
        time.sleep(0.05)


@pytest.mark.integration
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_text_of_the_report_is_readable_and_nothing_is_wider_than_the_window(
    tab: Browser, page: str, size: tuple[int, int], dark: bool
) -> None:
    wait_for(tab, page, "Asked against written", size=size, dark=dark)
    tab.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert tab.low_contrast() == []
    assert not tab.run(WIDE)
    assert tab.run("document.title") == "LongWriter run report"  # the planted scripts have another


def test_a_click_on_a_point_of_the_report_opens_the_answers_text_and_its_title_names_it(tab: Browser, page: str) -> None:
    wait_for(tab, page, "Asked against written")
    assert tab.run("[...document.querySelectorAll('.answer')].every((one) => getComputedStyle(one).display === 'none')")
    assert "asked" in tab.run("document.querySelector('a[*|href=\"#answer-1\"] title').textContent")
    tab.click("a[*|href='#answer-1'] use")
    until(tab, "location.hash.startsWith('#answer-')")  # of the point on top, where several answers have the same lengths
    assert tab.run("getComputedStyle(document.querySelector(':target')).display") == "block"
    assert HOSTILE[:20] in tab.run("document.querySelector(':target').innerText")


def test_the_keyboard_alone_reaches_the_answers_of_the_report(tab: Browser, page: str) -> None:
    """The points are no stops of the tab key; the table of all answers has the same links."""
    wait_for(tab, page, "Asked against written")
    seen = []
    for _ in range(3):
        tab.press("Tab", code=TAB)
        seen.append(tab.focused())
    assert seen[0].startswith("A Skip")
    assert seen[1].startswith("SUMMARY All answers")
    tab.press("Enter", code=ENTER, text="\r")


def test_the_report_prints_with_its_plots_and_without_its_links(tab: Browser, page: str, tmp_path: Path) -> None:
    wait_for(tab, page, "Asked against written")
    tab.pdf(tmp_path / "report.pdf")
    content = (tmp_path / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert 3 <= content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") + content.count(b"/Type/Page/") <= 40


@pytest.mark.integration
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_text_of_the_reader_is_readable_and_nothing_is_wider_than_the_window(
    tab: Browser, reader: str, size: tuple[int, int], dark: bool
) -> None:
    for query in (
        {"at": 0},
        {"in": "write/drafts", "at": 0},
        {"in": "build_pairs/pairs", "at": 0},
        {"in": "rejects"},
        {"at": 0, "beside": 4},
    ):
        wait_for(tab, f"{reader}?{urlencode(query)}", "rows" if size == DESKTOP else "", size=size, dark=dark)
        tab.run("for (const one of document.querySelectorAll('details')) one.open = true")
        assert tab.low_contrast() == [], query
        assert not tab.run(WIDE), query


def test_planted_scripts_and_pictures_never_run_in_the_reader(tab: Browser, reader: str) -> None:
    for query in ({"in": "write/drafts", "at": 0}, {"in": "rejects", "at": 0}, {"in": "evaluation", "q": HOSTILE}, {"at": 3}):
        wait_for(tab, f"{reader}?{urlencode(query)}", "rows")
        assert tab.run("document.title") != "PLANTED"
        assert tab.run("document.images.length + document.scripts.length + document.querySelectorAll('style').length") == 1
        assert tab.run("getComputedStyle(document.body).display") != "none"
    assert HOSTILE[:24] in words(tab)
    # Were a text ever to become markup, the policy would still refuse its script.
    tab.run("document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = \"PLANTED\"'}))")
    assert tab.run("document.title") != "PLANTED"


def test_the_reader_goes_by_keys_alone(tab: Browser, reader: str) -> None:
    wait_for(tab, f"{reader}?at=0", "1 of 9")
    tab.press("j")
    until(tab, "document.body.innerText.includes('2 of 9')")
    tab.press("k")
    until(tab, "document.body.innerText.includes('1 of 9')")
    tab.press("c")  # the next model beside it
    until(tab, "document.querySelectorAll('.column').length === 2")
    assert "difference" in words(tab)
    tab.press("Escape", code=27)
    until(tab, "document.querySelectorAll('.column').length === 1")
    tab.press("t")
    assert tab.run("document.querySelector('details.thoughts').open")
    assert tab.run("getComputedStyle(document.querySelector('mark.loop')).backgroundColor") != "rgba(0, 0, 0, 0)"
    tab.press("m")
    assert tab.run("getComputedStyle(document.querySelector('.text mark.loop')).backgroundColor") == "rgba(0, 0, 0, 0)"
    tab.press("/")
    assert tab.focused() == "INPUT search"
    for letter in "jump":  # keys are text in a field
        tab.press(letter)
    assert tab.run("document.querySelector('#search').value") == "jump"
    tab.press("Enter", code=ENTER, text="\r")
    until(tab, "document.body.innerText.includes('No row fits.')")


def test_the_phone_shows_the_list_first_and_then_one_text(tab: Browser, reader: str) -> None:
    wait_for(tab, reader, "9 rows", size=PHONE)
    assert tab.run("getComputedStyle(document.querySelector('#text')).display") == "none"
    tab.click("#list li a")
    until(tab, "document.body.classList.contains('reading')")
    assert tab.run("getComputedStyle(document.querySelector('#list')).display") == "none"
    tab.click("a.to-list")
    until(tab, "document.body.classList.contains('listing')")


@pytest.mark.integration
def test_the_readmes_picture_of_the_reader_is_made_and_small(tmp_path: Path) -> None:
    picture = tmp_path / "reader.png"
    subprocess.run([sys.executable, "-m", "infra.reader_picture", str(picture)], cwd=ROOT, check=True, timeout=200)
    for path in (picture, ROOT / "docs/reader.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert 10_000 < path.stat().st_size < 150_000
