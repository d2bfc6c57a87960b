"""The pictures of README: drawn from figures, and from what a command really shows in a terminal."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from infra import pictures
from tasks.schema.errors import BadInput, ServerError
from tests.conftest import ROOT

RULER = "model,asked,written\n" + "".join(f"{model},{asked},{asked}\n" for model in ("student", "mine") for asked in (100, 800))


def text_of(path: Path) -> str:
    """All text of an SVG. It is well-formed XML."""
    return " ".join("".join(ElementTree.parse(path).getroot().itertext()).replace("\xa0", " ").split())


def test_the_figure_of_results_names_every_model_and_is_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "ruler.csv").write_text(RULER)
    (tmp_path / "scores.json").write_text('{"student": {"s_l": 94.4}, "mine": {"s_l": null}}')
    drawn = []
    for name in ("a", "b"):
        pictures.results(tmp_path / "ruler.csv", tmp_path / "scores.json", tmp_path / name / "results.svg")
        drawn.append((tmp_path / name / "results.svg").read_bytes())
    assert drawn[0] == drawn[1]
    shown = text_of(tmp_path / "a/results.svg")
    assert all(word in shown for word in ("student", "mine", "94", "words asked for", "rehearsal"))
    assert "without loops" not in shown


def test_a_figure_of_results_counts_words_outside_loops_where_they_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    lines = [f"{line},{number}" for number, line in enumerate(RULER.splitlines()[1:], 50)]
    (tmp_path / "ruler.csv").write_text("\n".join(["model,asked,written,without_loops", *lines]) + "\n")
    (tmp_path / "scores.json").write_text('{"student": {"s_l": 94.4, "s_l_without_loops": 31.0}}')
    pictures.results(tmp_path / "ruler.csv", tmp_path / "scores.json", tmp_path / "results.svg")
    shown = text_of(tmp_path / "results.svg")
    assert all(word in shown for word in ("words without loops (median)", "S_l without loops, benchmark", "31"))


def test_a_recording_is_what_the_terminal_shows_at_the_end() -> None:
    shown = b"one\r\nprogress 1%\r\x1b[2Kprogress 99%\r\x1b[2K\x1b[1;32mdone\x1b[0m <b>\r\nlast\r\n"
    svg = pictures.drawn(shown, title="longwriter x", last=2)
    words = " ".join("".join(ElementTree.fromstring(svg).itertext()).replace("\xa0", " ").split())
    assert words.endswith("longwriter x done <b> last")
    assert "progress" not in words
    assert not re.findall(r"url\(.?https?:|href=.https?:", svg)


def test_a_command_is_run_in_a_terminal_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    pictures.terminal(pictures.ESSAY, out=tmp_path)
    shown = text_of(tmp_path / "terminal.svg")
    assert "300 words of 300 (S_l 100.0)" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("command", "error", "message"),
    [("rm -r x", BadInput, "does not begin with longwriter"), ("longwriter nothing", ServerError, "ended with code 2")],
)
def test_other_commands_and_failing_ones_make_no_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, error: type[Exception], message: str
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(error, match=message):
        pictures.terminal(command, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_pictures_of_readme_are_there() -> None:
    named = re.findall(r"!\[[^\]]*\]\((docs/[^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(named) == 4
    assert all((ROOT / path).is_file() for path in named)
    assert all((ROOT / path).stat().st_size < 500_000 for path in named)
