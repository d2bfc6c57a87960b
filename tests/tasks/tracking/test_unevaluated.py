"""Versions without an evaluation under the current benchmark and judge, on a real registry: found, tried twice, given up, evaluated."""

import json
from pathlib import Path

import pytest

from tasks.judging.templates import read_template
from tasks.longbench.compare import read_side
from tasks.schema.params import Params, load
from tasks.tracking import registry, rollback, unevaluated
from tests.conftest import ROOT
from tests.tasks.promotions import ASKED, candidate, run


@pytest.fixture(autouse=True)
def home(mlflow_home: Path) -> Path:
    return mlflow_home


@pytest.fixture
def params(tmp_path: Path) -> Params:
    """A benchmark with the prompts that `candidate` answered."""
    rows = [{"id": f"i{asked}", "prompt": "Write.", "type": "News", "length": asked} for asked in ASKED]
    (tmp_path / "benchmark.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = load(ROOT / "params.yaml")
    judge = found.judge.model_copy(update={"prompt": str(ROOT / found.judge.prompt)})
    return found.model_copy(update={"benchmark": str(tmp_path / "benchmark.jsonl"), "judge": judge})


def todays(params: Params) -> str:
    return f"{params.models.judge}, prompt {read_template(Path(params.judge.prompt)).digest[:8]}"


def test_what_the_pipeline_promoted_under_todays_judge_is_nothing_new(tmp_path: Path, params: Params) -> None:
    assert unevaluated.look(params) == []
    run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0, judge=todays(params)))
    assert unevaluated.look(params) == []


@pytest.mark.integration
def test_another_judge_or_another_benchmark_makes_versions_new(tmp_path: Path, params: Params) -> None:
    run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0, judge="the judge of then"))
    run(candidate(tmp_path / "b", weights=b"2", s_bar=61.0, judge=todays(params)))
    assert [one.number for one in unevaluated.look(params)] == ["1"]
    more = Path(params.benchmark)
    more.write_text(more.read_text() + '{"id": "new", "prompt": "Write.", "type": "News", "length": 70}\n')
    assert [one.number for one in unevaluated.look(params)] == ["1", "2"]


def test_a_version_is_given_up_after_two_tries_and_another_benchmark_begins_anew(tmp_path: Path, params: Params) -> None:
    run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0, judge="the judge of then"))
    assert unevaluated.begin("1", params).tries == 1
    unevaluated.fail("1", "the server died\nagain")
    [one] = unevaluated.look(params)
    assert (one.tries, one.failed, one.given_up) == (1, "the server died again", False)
    assert unevaluated.begin("1", params).tries == 2
    assert unevaluated.look(params)[0].given_up
    more = Path(params.benchmark)
    more.write_text(more.read_text() + '{"id": "new", "prompt": "Write.", "type": "News", "length": 70}\n')
    assert [(one.tries, one.failed, one.given_up) for one in unevaluated.look(params)] == [(0, None, False)]


def test_an_evaluation_ends_what_was_tried(tmp_path: Path, params: Params) -> None:
    run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0, judge="the judge of then"))
    unevaluated.begin("1", params)
    unevaluated.fail("1", "once")
    again = candidate(tmp_path / "b", weights=b"1", s_bar=61.0, judge=todays(params)) / "score"
    rollback.tag("1", unevaluated.over(read_side(f"{again}:student")))
    assert unevaluated.look(params) == []
    assert {unevaluated.TRIES, unevaluated.FAILED}.isdisjoint(registry.version("1").tags)
