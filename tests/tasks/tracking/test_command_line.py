"""`longwriter models` on a real registry: its output and its errors."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tasks import store
from tasks.longbench.scorecard import Scorecards, read_scorecards
from tasks.schema.records import Decoding, Evaluation
from tasks.tracking import registry
from tasks.tracking.__main__ import app
from tests.conftest import ROOT
from tests.tasks.promotions import ASKED, candidate, run, state

LINE = re.compile(r"\d\d\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ")


@pytest.fixture(autouse=True)
def home(mlflow_home: Path) -> Path:
    return mlflow_home


@pytest.fixture
def promoted(tmp_path: Path) -> Path:
    """Version 1 and then, better, version 2; the folder of the first one's stages is `a`."""
    run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    run(candidate(tmp_path / "b", weights=b"2", s_bar=70.0))
    return tmp_path


def said(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return (done.stderr if code else done.stdout).strip()


@pytest.mark.integration
def test_models_is_a_table_of_versions(promoted: Path) -> None:
    lines = [re.split(r"\s{2,}", line) for line in said("models").splitlines()]
    assert lines[0] == ["version", "aliases", "S̄", "gate", "promoted"]
    assert [row[:2] + row[3:4] for row in lines[1:]] == [["1", "previous", "passed"], ["2", "champion", "passed"]]
    assert all(LINE.fullmatch(row[4]) for row in lines[1:])
    assert 69 < float(lines[2][2]) < 72


def test_rollback_and_allow(promoted: Path) -> None:
    there = "version 1 is champion again, version 2 is challenger, there is no previous any more"
    assert said("rollback", "--reason", "it loops") == there
    assert "it loops" in registry.version("2").tags["rolled_back"]
    refused = said("rollback", code=2)
    assert refused == ("error: models:/longwriter@champion: there is no champion before version 1; fix: promote another version first")
    assert said("allow", "challenger") == "version 2 may be promoted again"
    assert said("allow", "2") == "version 2 is not blocked; nothing to allow"
    assert said("allow", "9", code=2).startswith("error: models:/longwriter/9: no such version")
    assert "the alias points to no version; fix: use one of challenger, champion" in said("allow", "nobody", code=2)


@pytest.mark.integration
def test_a_preview_is_a_page_and_changes_nothing(promoted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # its params.yaml
    folder = candidate(promoted / "c", weights=b"3", s_bar=71.0)
    before = state()
    stages = [str(folder / name) for name in ("train", "align", "reinforce", "score", "general.json")]
    page = said("preview", *stages)
    assert page.startswith("The new version would be **champion**, against version 2.")
    assert "| gain_over_champion | +1.00 [1.00, 1.00] | above " in page
    assert "8 prompts, 8 answers, 0 unscored; judge: j." in page
    assert state() == before
    assert "no such file" in said("preview", *stages[:3], str(folder / "nothing"), stages[4], code=2)
    assert "general.json/scorecard.json: Not a directory" in said("preview", *stages[:3], stages[4], stages[4], code=2)


@pytest.mark.integration
def test_who_approved_is_on_the_version(promoted: Path) -> None:
    assert said("approve", "champion", "--by", "Ann  Lee", "--note", "fine\nby me") == "version 2 is approved by Ann Lee"
    tags = registry.version("2").tags
    assert (tags["approved_by"], tags["approval_note"]) == ("Ann Lee", "fine by me")
    assert LINE.fullmatch(tags["approved"])


def evaluation_of(checkpoint: str) -> Evaluation:
    return Evaluation(
        candidate="models:/longwriter@champion",
        benchmark="benchmark.jsonl",
        benchmark_sha256="0",
        format=None,
        samples=1,
        method="one call",
        decoding=Decoding(name="c", revision="", temperature=0.5, max_tokens=100, seed=1, checkpoint=checkpoint),
        judge="j",
        second_judge=None,
        repeats=1,
        judge_prompt_sha256="0",
    )


@pytest.mark.integration
def test_a_champion_that_was_scored_by_another_judge_is_evaluated_again_and_then_compares(promoted: Path) -> None:
    folder = candidate(promoted / "c", weights=b"3", s_bar=75.0, judge="the judge of today")
    assert "another judge scored it: j, and the judge of today this one" in run(folder).reason
    again = candidate(promoted / "again", weights=b"2", s_bar=68.0, judge="the judge of today") / "score"
    rows = [row for row in (again / "items.jsonl").read_text().splitlines() if '"student"' in row]
    (again / "items.jsonl").write_text("".join(row.replace('"student"', '"longwriter@champion"') + "\n" for row in rows))
    card = read_scorecards(again / "scorecard.json")["student"]
    store.write_json(again / "scorecard.json", Scorecards({"longwriter@champion": card}))
    store.write_json(again / "evaluation.json", evaluation_of("of another"))
    assert "decoding.checkpoint: the evaluation of another checkpoint" in said("evaluated", "champion", str(again), code=2)
    checkpoint = store.folder_digest(registry.fetch("models:/longwriter@champion"))
    store.write_json(again / "evaluation.json", evaluation_of(checkpoint))
    assert said("evaluated", "champion", str(again)).startswith("version 2 is compared by evaluation run ")
    decision = run(folder)
    gain = next(axis for axis in decision.axes if axis.name == "gain_over_champion")
    assert (decision.alias, gain.value) == ("champion", pytest.approx(7.0))
    assert len(ASKED) == len(rows)
