"""`longwriter status`, `stages`, `report` and `use`, in a small workspace with real stages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def said(*words: str, code: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", "flows.cli", *words], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.usefixtures("toy")
def test_status_before_the_first_run_names_what_is_missing() -> None:
    text = said("status")
    assert text.splitlines()[0].split()[:2] == ["first", "stale"]
    assert text.splitlines()[-1] == "3 of 3 stages are stale; `longwriter run` restores or runs them"


@pytest.mark.integration
@pytest.mark.usefixtures("done")
def test_status_after_a_run_says_that_all_is_up_to_date() -> None:
    assert said("status").splitlines()[-1] == "every stage is up to date"


@pytest.mark.integration
def test_status_tells_params_from_data_and_from_a_stage_before(done: Path) -> None:
    (done / "toy.yaml").write_text("words: 2\n")
    first, second, third = json.loads(said("status", "--json"))
    assert first == {"stage": "first", "up_to_date": False, "why": [{"kind": "params", "what": "words"}]}
    assert second["why"] == [{"kind": "stage", "what": "first"}]
    assert third["why"] == [{"kind": "stage", "what": "second"}]
    (done / "toy.yaml").write_text("words: 1\n")
    (done / "in.txt").write_text("other words\n")
    assert json.loads(said("status", "--json"))[0]["why"] == [{"kind": "data", "what": "in.txt"}]


def test_status_tells_an_output_that_was_deleted(done: Path) -> None:
    (done / "third.txt").unlink()
    *_, third = json.loads(said("status", "--json"))
    assert third["why"] == [{"kind": "output", "what": "third.txt missing"}]


@pytest.mark.integration
@pytest.mark.usefixtures("toy")
def test_stages_are_listed_in_the_order_in_which_they_run() -> None:
    assert [line.split() for line in said("stages").splitlines()] == [
        ["stage", "after", "what", "it", "does"],
        ["1", "first", "starts"],
        ["2", "second", "first"],
        ["3", "third", "second"],
    ]
    assert [row["stage"] for row in json.loads(said("stages", "--json"))] == ["first", "second", "third"]


def test_the_graph_of_the_project_fits_into_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    lines = said("stages").splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 80
    promote = next(line for line in lines if " promote " in line)
    assert promote.split()[2:4] == ["score,", "evaluate_general"], "only the direct edges, not all that it reads"
    assert next(line for line in lines if " train " in line).split()[1:4] == ["train", "[gpu]", "pack"]


@pytest.mark.integration
@pytest.mark.usefixtures("toy")
def test_a_report_that_is_not_there_is_one_line() -> None:
    assert said("report", code=2) == "error: report: there is none yet; fix: `longwriter run` makes it\n"


@pytest.mark.integration
def test_before_a_run_is_complete_the_report_shows_what_there_is(toy: Path) -> None:
    """The first stage has run, as the pipeline's own."""
    (toy / "dvc.yaml").write_text(
        "stages:\n  report:\n    cmd: exec python -m tasks.report data metrics plots data/report\n    outs: [data/report/report.html]\n"
    )
    (toy / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (toy / "data/collect").mkdir(parents=True)
    (toy / "data/collect/metrics.json").write_text('{"instructions": 7}')
    page = Path(said("report").strip())
    assert page == (Path(os.environ["LONGWRITER_HOME"]) / "report.html").resolve()
    text = page.read_text()
    assert "No verdict yet: the stage promote has not run." in text
    assert "This run is not complete." in text
    assert json.loads(said("report", "--json")) == {"report": str(page)}


@pytest.fixture
def profiles(toy: Path) -> Path:
    (toy / "profiles").mkdir()
    for name in ("rehearsal", "llama-3.1-8b"):
        (toy / "profiles" / f"{name}.yaml").write_text((ROOT / "profiles" / f"{name}.yaml").read_text())
    return toy


def test_a_profile_is_copied_over_another_profile(profiles: Path) -> None:
    said("use", "llama-3.1-8b")
    assert (profiles / "params.yaml").read_text() == (profiles / "profiles/llama-3.1-8b.yaml").read_text()
    said("use", "rehearsal")
    assert (profiles / "params.yaml").read_text() == (profiles / "profiles/rehearsal.yaml").read_text()


def test_edits_of_params_are_never_lost_to_a_profile(profiles: Path) -> None:
    said("use", "rehearsal")
    edited = (profiles / "params.yaml").read_text().replace("seed: 42", "seed: 43")
    (profiles / "params.yaml").write_text(edited)
    assert said("use", "llama-3.1-8b", code=2).startswith("error: params.yaml: has edits that are in no profile and in no commit; ")
    assert (profiles / "params.yaml").read_text() == edited
    said("use", "llama-3.1-8b", "--force")
    assert (profiles / "params.yaml.bak").read_text() == edited


def test_an_unknown_profile_is_named_beside_those_that_there_are(profiles: Path) -> None:
    assert said("use", "llama", code=2) == "error: profiles/llama.yaml: no such profile; fix: use one of llama-3.1-8b, rehearsal\n"
