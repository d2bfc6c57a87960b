"""Benchmarks are plug-ins: found by entry point, with a card, read from verified files."""

import tomllib
from pathlib import Path

import pytest

from tasks.benchmarks import hellobench
from tasks.benchmarks.registry import GROUP, OWN, benchmark, every, names, open_suite
from tasks.schema.errors import BadInput
from tests.conftest import ROOT
from tests.tasks.benchmarks.made import HELLOBENCH, pinned, put


def test_the_projects_own_benchmarks_are_declared_as_entry_points() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"][GROUP] == OWN


def test_every_card_says_what_a_user_has_to_know() -> None:
    cards = {one.card.name: one.card for one in every()}
    assert list(cards) == names()
    for name, card in cards.items():
        assert all((card.title, card.measures, card.judge, card.licence, card.terms, card.paper, card.faults)), name
        assert len(card.revision) == 40, name


@pytest.mark.parametrize("name", list(OWN))
def test_every_file_of_a_benchmark_is_pinned(name: str) -> None:
    source = benchmark(name).source
    assert source is not None
    assert source.url.endswith(source.revision)
    for pin in source.pins:
        assert (len(pin.sha256) == 64 and pin.size) or len(pin.blob) == 40
    assert len({pin.name for pin in source.pins}) == len(source.pins)  # they lie side by side


def distribution(folder: Path, value: str) -> None:
    """An installed distribution with one entry point of ours."""
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nmine = {value}\n")


MINE = """from pathlib import Path
from tasks.benchmarks.interface import Benchmark, Card, Item, Measure, Suite

def rule(item, answer):
    return {"words": float(len(answer.response.split()))}

def load(folder: Path) -> Suite:
    return Suite((Item(id="a", prompt="Write."),), (Measure("words", 0, 1000),), rule=rule)

CARD = Card(name="mine", title="Mine", measures="words", judge="none", licence="MIT", paper="none")
BENCHMARK = Benchmark(CARD, load)
"""


def test_a_benchmark_of_another_distribution_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_benchmark.py").write_text(MINE)
    distribution(tmp_path, "my_benchmark:BENCHMARK")
    monkeypatch.syspath_prepend(tmp_path)
    assert names()[-1] == "mine"
    assert [item.id for item in open_suite(benchmark("mine"), tmp_path).items] == ["a"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module:BENCHMARK", "the plug-in no_such_module:BENCHMARK cannot be imported: No module named"),
        ("json:nothing", "the plug-in json:nothing cannot be imported: module 'json' has no attribute"),
        ("json:dumps", "json:dumps is no tasks.benchmarks.interface.Benchmark"),
    ],
)
def test_a_broken_plug_in_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, why: str) -> None:
    distribution(tmp_path, value)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadInput, match="mine: ") as raised:
        benchmark("mine")
    assert why in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(BadInput, match="hellobanch: no benchmark of that name; fix: use one of longbench-write, "):
        benchmark("hellobanch")


def test_a_file_that_is_missing_or_changed_is_not_read(tmp_path: Path) -> None:
    one = pinned(hellobench.HELLOBENCH, HELLOBENCH)
    put(tmp_path, HELLOBENCH)
    assert len(open_suite(one, tmp_path).items) == 7
    (tmp_path / "chat.jsonl").write_text(HELLOBENCH["chat.jsonl"].replace("chat_0", "chat_1"))
    with pytest.raises(
        BadInput, match=r"chat\.jsonl: not the file that its authors published; fix: fetch it: longwriter eval official hellobench"
    ):
        open_suite(one, tmp_path)
    (tmp_path / "chat.jsonl").unlink()
    with pytest.raises(BadInput, match=r"chat\.jsonl: no such file; the benchmark hellobench needs it"):
        open_suite(one, tmp_path)


def test_published_figures_name_their_judge_and_source() -> None:
    figures = benchmark("longbench-write").card.published
    assert {one.judge for one in figures} == {"gpt-4o-2024-05-13", "not known"}
    papers = {one.model: one.value for one in figures if one.source == "arXiv 2408.07055"}
    assert papers["LongWriter-9B"] == 80.5
    gap = {one.model: one.value for one in figures if one.source == "arXiv 2606.09709"}
    assert gap["IS-Writer-8B"] - gap["DeepSeek-V3.2"] == pytest.approx(3.08)  # as its abstract says
