"""`longwriter eval positions`: the parts of long texts are graded by place."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from tasks import store
from tasks.endpoints.allowance import SpendLimit
from tasks.evaluation.__main__ import app
from tasks.evaluation.positions import PLACES, PositionOptions, PositionReport, positions
from tasks.judging.grades import DIMENSIONS
from tasks.schema.errors import BadInput, SpendCapReached
from tasks.schema.params import Params, load
from tasks.schema.records import BenchmarkItem, Prediction, Verdict
from tests.conftest import ROOT
from tests.tasks.judging.endpoint import Body, asked, endpoint


@pytest.fixture(scope="module")
def params() -> Params:
    found = load(ROOT / "params.yaml")
    return found.model_copy(update={"judge": found.judge.model_copy(update={"prompt": str(ROOT / found.judge.prompt), "repeats": 1})})


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """Ten paragraphs of 50 words each; the last four are marked as bad. One answer is too short for parts."""
    rows = []
    for place, subject in enumerate(("bread", "salt", "rain", "tea")):
        item = BenchmarkItem(id=f"p{place}", prompt=f"Write about {subject}.", type="", length=500, language="en")
        paragraphs = [" ".join([f"{'bad' if number > 5 else 'good'} {subject} {number}", *["word"] * 46, "end."]) for number in range(10)]
        text = "\n\n".join(paragraphs if place < 3 else paragraphs[:1])
        rows.append(Prediction(item=item, model="m", response=text, finish_reason="stop", tokens=1, seconds=0.1))
    store.write(tmp_path / "predictions.jsonl", rows)
    return tmp_path / "predictions.jsonl"


def falls(body: Body) -> str:
    """Full grades for good parts, the lowest for bad ones."""
    return json.dumps(dict.fromkeys(DIMENSIONS, 1 if "\nbad " in asked(body) else 5))


def quiet(_: str) -> None:
    """Prints nothing."""


def report_of(answers: Path, params: Params, **options: Any) -> PositionReport:
    found = positions(answers, params=params, options=PositionOptions(part=50)._replace(**options), say=quiet)
    assert found.report
    return found.report


def test_a_fall_of_quality_is_seen_at_its_place(answers: Path, params: Params, tmp_path: Path) -> None:
    with endpoint(falls) as seen:
        report = report_of(answers, params, out=tmp_path / "out")
    (places,) = report.models.values()
    assert [place.place for place in places] == list(PLACES)
    assert [(place.parts, place.unread, place.s_q) for place in places] == [(6, 0, 100.0)] * 3 + [(6, 0, 0.0)] * 2
    assert [place.dimensions["clarity"] for place in places] == [5, 5, 5, 1, 1]
    assert all(place.interval for place in places)
    assert report.short == 1
    assert len(seen) == 30
    assert "part 1 of 10 of a long answer" in asked(seen[0]).replace("\n", " ")
    assert len(store.read_list(tmp_path / "out" / "verdicts.jsonl", Verdict)) == 30


def test_a_part_without_a_readable_verdict_is_counted_and_in_no_mean(answers: Path, params: Params) -> None:
    def unreadable(body: Body) -> str:
        return "Fine." if "good salt 0" in asked(body) else falls(body)

    with endpoint(unreadable):
        first = next(iter(report_of(answers, params).models.values()))[0]
    assert (first.parts, first.unread, first.s_q) == (6, 1, 100.0)


def test_the_cost_is_known_before_and_paid_once(answers: Path, params: Params) -> None:
    options = PositionOptions(part=50)
    with endpoint(falls) as seen:
        assert positions(answers, params=params, options=options._replace(estimate=True), say=quiet).cost.calls == 30
        with pytest.raises(SpendCapReached):
            positions(answers, params=params, options=options._replace(limit=SpendLimit(calls=29)), say=quiet)
        assert seen == []
        report_of(answers, params)
        report_of(answers, params)
        assert len(seen) == 30


def test_texts_without_parts_and_a_missing_judge_are_refused(answers: Path, params: Params) -> None:
    with pytest.raises(BadInput, match=r"no text of two parts of 5,000 words; fix"):
        positions(answers, params=params, options=PositionOptions(part=5_000), say=quiet)
    nobody = params.model_copy(update={"models": params.models.model_copy(update={"judge": None})})
    with pytest.raises(BadInput, match="nobody grades the parts"):
        positions(answers, params=nobody, options=PositionOptions(), say=quiet)


def test_the_command_prints_a_table_and_json(answers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("tasks/prompts/judge.txt", str(ROOT / "tasks/prompts/judge.txt"))
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with endpoint(falls):
        shown = CliRunner().invoke(app, ["positions", str(answers), "--part", "50"])
        assert shown.exit_code == 0, shown.output
        assert "last fifth" in shown.output
        assert "1 texts have a single part" in shown.output
        plain = CliRunner().invoke(app, ["positions", str(answers), "--part", "50", "--json"])
    assert orjson.loads(plain.stdout.splitlines()[-1])["models"]["m"][4]["s_q"] == 0.0
