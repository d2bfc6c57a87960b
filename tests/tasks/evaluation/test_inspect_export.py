"""An evaluation is exported as a log of inspect_ai; tests/e2e/test_other_tools.py opens one with inspect_ai itself."""

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tasks import store
from tasks.benchmarks.grading import Grade
from tasks.benchmarks.interface import GivenAnswer
from tasks.benchmarks.results import ScoredAnswer
from tasks.evaluation.__main__ import app
from tasks.evaluation.inspect_export import Exported, export_inspect
from tasks.evaluation.recorded import read_recorded
from tasks.schema.errors import BadInput
from tests.tasks.evaluation.inspect_logs import evaluation


def read(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The log's header and its samples."""
    if file.suffix == ".json":
        whole = json.loads(file.read_text())
        return whole, whole["samples"]
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.startswith("samples/")]
        assert json.loads(archive.read("summaries.json"))[0]["id"] == "i8"
        return json.loads(archive.read("header.json")), [json.loads(archive.read(name)) for name in names]


@pytest.mark.parametrize("suffix", [".eval", ".json"])
def test_answers_scores_and_verdicts_are_in_the_log(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"log{suffix}"
    found = export_inspect(evaluation(tmp_path / "out"), file)
    assert found == Exported(4, {"s_l": 75.0, "s_l_fixed": 75.0, "s_q": 75.0})
    header, samples = read(file)
    assert (header["version"], header["status"], header["eval"]["model"], header["eval"]["config"]) == (
        2,
        "success",
        "longwriter/m",
        {"epochs": 2},
    )
    results = {one["name"]: one for one in header["results"]["scores"]}
    assert (results["s_q"]["scored_samples"], results["s_q"]["unscored_samples"]) == (3, 1)
    assert results["s_l"]["metrics"]["mean"]["value"] == 75.0
    assert [(one["id"], one["epoch"]) for one in samples] == [("i8", 1), ("i8", 2), ("i16", 1), ("i16", 2)]
    first, last = samples[0], samples[-1]
    assert first["output"]["choices"][0]["stop_reason"] == "max_tokens"
    assert last["messages"][1]["content"][0] == {"type": "reasoning", "reasoning": "hm", "redacted": False}
    assert (first["scores"]["s_q"]["value"], first["scores"]["s_q"]["explanation"]) == (75.0, "{…}")
    assert math.isnan(last["scores"]["s_q"]["value"])
    assert last["scores"]["s_q"]["explanation"] == "{…}\n(unscored: no verdict)"


@pytest.mark.parametrize("suffix", [".eval", ".json"])
def test_what_is_exported_is_read_again(tmp_path: Path, suffix: str) -> None:
    export_inspect(evaluation(tmp_path / "out"), tmp_path / f"log{suffix}")
    found = list(read_recorded(tmp_path / f"log{suffix}"))
    told = [(one.item.id, one.item.length, one.sample, one.response.strip(), one.reasoning, one.finish_reason) for one in found]
    text = "word " * 7 + "word"
    expected = [(name, n, sample, text, "hm" if sample else "", "max_tokens") for name, n in (("i8", 8), ("i16", 16)) for sample in (0, 1)]
    assert sorted(told) == sorted(expected)


def test_an_evaluation_that_nobody_judged_has_no_quality(tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "out")
    (folder / "verdicts.jsonl").write_text("")
    assert list(export_inspect(folder, tmp_path / "a.json").scores) == ["s_l", "s_l_fixed"]


def test_a_benchmarks_own_values_are_exported(tmp_path: Path) -> None:
    named: dict[str, Any] = {"id": "a:1", "model": "m", "sample": 0}
    store.write(tmp_path / "predictions.jsonl", [GivenAnswer(**named, prompt="Write.", response="Text.")])
    store.write(tmp_path / "items.jsonl", [ScoredAnswer(**named, group="g", values={"score": 7.5, "other": None})])
    grade = Grade(**named, question="Tone", repeat=0, judge="j", names=("Tone",), grades={"Tone": 7.0}, replies=("seven",), problem=None)
    store.write(tmp_path / "grades.jsonl", [grade])
    assert export_inspect(tmp_path, tmp_path / "log.json").scores == {"score": 7.5, "other": None}
    _, (sample,) = read(tmp_path / "log.json")
    assert (sample["scores"]["score"]["value"], sample["scores"]["score"]["explanation"]) == (7.5, "Tone: seven")


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "out", models=("m", "other"))
    done = CliRunner().invoke(app, ["export", str(folder), "--inspect", str(tmp_path / "a.eval"), "--model", "other"])
    assert done.stdout == f"{tmp_path / 'a.eval'}: 4 samples; s_l 75.00, s_l_fixed 75.00, s_q 75.00\n"


@pytest.mark.parametrize(
    ("file", "model", "why"),
    [
        ("a.log", None, "not a log's name; fix: end it in .eval or .json"),
        ("a.eval", None, "answers of 2 models, and a log has one; fix: add --model with one of m, other"),
        ("a.eval", "mine", "no answers of mine; fix: use one of m, other"),
    ],
)
def test_what_cannot_be_exported_is_one_line(tmp_path: Path, file: str, model: str | None, why: str) -> None:
    folder = evaluation(tmp_path / "out", models=("m", "other"))
    with pytest.raises(BadInput, match=why):
        export_inspect(folder, tmp_path / file, model=model)
    assert not (tmp_path / file).exists()


def test_a_folder_without_an_evaluation_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"predictions\.jsonl: no such file; fix: give a folder that `longwriter eval run` wrote"):
        export_inspect(tmp_path, tmp_path / "a.eval")
