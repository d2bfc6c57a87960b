"""The promote stage on a real SQLite store: a better model gets the alias, a worse one becomes challenger, a repeat changes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks import store
from tasks.longbench.summary import summarise
from tasks.schema.errors import BadInput
from tasks.schema.records import ScoredItem
from tasks.tracking import registry
from tasks.tracking.candidates import Checkpoints, preview
from tasks.tracking.client import connect, names
from tasks.tracking.rollback import allow, roll_back
from tests.tasks.promotions import ASKED, GATE, aliases, candidate, run, scored, state


@pytest.fixture(autouse=True)
def home(mlflow_home: Path) -> Path:
    return mlflow_home


@pytest.mark.integration
def test_the_champion_moves_to_a_better_version_and_a_loser_stays_challenger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    assert first.passed
    assert aliases() == {"champion": "1"}

    loser = run(candidate(tmp_path / "b", weights=b"2", s_bar=60.0))
    assert not loser.passed
    assert aliases() == {"champion": "1", "challenger": "2"}
    assert "gain_over_champion is missing (no interval" in loser.reason
    assert "version 2 is challenger: not all axes hold" in capsys.readouterr().out

    better = run(candidate(tmp_path / "c", weights=b"3", s_bar=70.0))
    assert better.passed
    assert better.champion_before == "1"
    assert aliases() == {"champion": "3", "challenger": "2", "previous": "1"}
    assert (registry.fetch("models:/longwriter@champion") / "model.safetensors").read_bytes() == b"3student"

    best = run(candidate(tmp_path / "d", weights=b"4", s_bar=75.0))
    assert (best.champion_before, aliases()) == ("3", {"champion": "4", "challenger": "2", "previous": "3"})


@pytest.mark.integration
@pytest.mark.parametrize("s_bar", [75.0, *(pytest.param(score, marks=pytest.mark.slow) for score in (60.0, 40.0))])
def test_promoting_again_changes_nothing(tmp_path: Path, s_bar: float) -> None:
    run(candidate(tmp_path / "a", weights=b"1", s_bar=65.0))
    folder = candidate(tmp_path / "b", weights=b"2", s_bar=s_bar)
    first, before = run(folder), state()
    assert (run(folder), state()) == (first, before)
    assert len(connect().search_model_versions(f"name = '{names().model}'")) == 2


@pytest.mark.integration
def test_a_challenger_that_wins_in_the_end_is_challenger_no_more(tmp_path: Path) -> None:
    run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    folder = candidate(tmp_path / "b", weights=b"2", s_bar=62.0)
    run(folder, min_gain_over_champion=5.0)
    assert aliases() == {"champion": "1", "challenger": "2"}
    run(folder)
    assert aliases() == {"champion": "2", "previous": "1"}


def test_a_first_model_that_does_not_pass_is_challenger_and_nobody_is_champion(tmp_path: Path) -> None:
    decision = run(candidate(tmp_path / "a", weights=b"1", s_bar=None))
    assert aliases() == {"challenger": "1"}
    assert decision.axes[0].value is None
    assert "s_bar is missing" in decision.reason


def test_reasons_runs_and_provenance_are_recorded(tmp_path: Path) -> None:
    decision = run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0), min_general={"mmlu": 0.5})
    client = connect()
    version = client.get_model_version(names().model, decision.version)
    assert version.description == f"champion: {decision.reason}"
    assert version.tags["gate"] == "passed"
    assert version.tags["gate.s_l"] == "s_l 80.00, at least 60.00: holds"
    assert version.tags["gate.general.mmlu"] == "general.mmlu 61.00%, at least 50.00%: holds"
    assert (version.tags["general.mmlu"], version.tags["s_l_fixed"]) == ("0.61", "75.0")
    assert version.tags["evaluation_run"] == decision.evaluation_run
    assert version.run_id == decision.training_run
    training = client.get_run(decision.training_run)
    assert training.data.params["train.tiny"] == "layers=3 width=128 heads=4"
    assert training.inputs.dataset_inputs[0].tags[0].value == "training"
    assert json.loads(training.inputs.dataset_inputs[0].dataset.profile) == {"num_rows": 1}
    assert "messages" in training.inputs.dataset_inputs[0].dataset.schema
    assert [metric.value for metric in client.get_metric_history(decision.training_run, "student/loss")] == [5.0, 2.5, 5 / 3]
    data = training.inputs.dataset_inputs[0].dataset
    (made,) = client.search_logged_models(
        [training.info.experiment_id], datasets=[{"dataset_name": data.name, "dataset_digest": data.digest}]
    )
    assert (made.source_run_id, made.model_id) == (decision.training_run, training.outputs.model_outputs[0].model_id)
    assert [metric.value for metric in made.metrics] == [pytest.approx(5 / 3)]
    evaluation = client.get_run(decision.evaluation_run).data
    assert evaluation.metrics["student/s_bar"] == pytest.approx(60.0, abs=2)
    assert evaluation.metrics["student/repetition"] == pytest.approx(0.1)
    assert {entry.path for entry in client.list_artifacts(decision.evaluation_run)} == {"ruler.svg", "scorecard.json", "items.jsonl"}


@pytest.mark.integration
def test_two_versions_are_compared_item_by_item_in_mlflows_own_evaluation_view(tmp_path: Path) -> None:
    import mlflow

    runs = [
        run(candidate(tmp_path / name, weights=name.encode(), s_bar=score)).evaluation_run for name, score in (("a", 60.0), ("b", 70.0))
    ]
    client = connect()
    rows: list[dict[str, dict[str, float]]] = []
    for run_id in runs:
        found = mlflow.search_traces(locations=[client.get_run(run_id).info.experiment_id], run_id=run_id, return_type="list")
        rows.append({trace.info.request_preview: {one.name: one.value for one in trace.info.assessments} for trace in found})
        assert json.loads(found[0].info.response_preview)["text"].startswith(f"{(tmp_path / 'a').parent}")
        assert found[0].data.spans[0].inputs == json.loads(found[0].info.request_preview)
        assert client.get_run(run_id).data.tags["mlflow.runType"] == "genai_evaluate"
    assert rows[0].keys() == rows[1].keys(), "rows are matched by their request"
    assert len(rows[0]) == len(ASKED), "the answers of the version, not of its control"
    for request, scores in rows[0].items():
        assert rows[1][request]["s_q"] - scores["s_q"] == pytest.approx(20.0)
        assert rows[1][request]["s_bar"] - scores["s_bar"] == pytest.approx(10.0)
        assert (scores["s_l"], scores["repetition"]) == (80.0, 0.1)
    first, second = (client.get_run(run_id).inputs.dataset_inputs[0] for run_id in runs)
    assert (first.dataset.name, first.dataset.digest) == ("benchmark", second.dataset.digest)
    assert (first.tags[0].value, json.loads(first.dataset.profile)) == ("evaluation", {"num_rows": len(ASKED)})


def test_an_axis_that_is_gone_from_the_gate_leaves_no_verdict_behind(tmp_path: Path) -> None:
    folder = candidate(tmp_path / "a", weights=b"1", s_bar=60.0)
    run(folder, min_general={"mmlu": 0.5})
    run(folder)
    assert "gate.general.mmlu" not in connect().get_model_version(names().model, "1").tags


@pytest.mark.integration
@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"judge": "another judge"}, r"version 1: another judge scored it: j, and another judge this one"),
        ({"more": 7}, r"version 1: i100 asks for 100 words, and for 107 in this version"),
    ],
)
def test_what_does_not_compare_fails_and_says_how_to_mend_it(tmp_path: Path, other: dict[str, Any], problem: str) -> None:
    run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    decision = run(candidate(tmp_path / "b", weights=b"2", s_bar=70.0, **other))
    assert decision.alias == "challenger"
    assert {axis.name for axis in decision.axes if axis.value is None} == {"gain_over_champion", "worst_group"}
    assert problem in decision.reason
    assert "`longwriter models evaluated 1 evaluations/v1`" in decision.reason


@pytest.mark.integration
def test_a_champion_without_items_cannot_be_beaten_unseen(tmp_path: Path, home: Path) -> None:
    first = run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    kept = next((home / "mlartifacts").rglob("items.jsonl"))
    rows = kept.read_text()
    challenger = candidate(tmp_path / "b", weights=b"2", s_bar=70.0)
    kept.write_text("".join(line + "\n" for line in rows.splitlines() if '"control"' in line))
    assert "no items of student" in run(challenger).reason
    kept.unlink()
    assert f"version 1: its evaluation run {first.evaluation_run} keeps no items.jsonl" in run(challenger).reason
    connect().delete_model_version_tag(names().model, "1", "evaluation_run")
    assert "version 1: its evaluation is not known" in run(challenger).reason
    kept.write_text(rows)
    connect().set_model_version_tag(names().model, "1", "evaluation_run", first.evaluation_run)
    assert run(challenger).alias == "champion"


@pytest.mark.integration
def test_a_bin_that_the_candidate_was_not_asked_for_is_no_win(tmp_path: Path) -> None:
    run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    decision = run(candidate(tmp_path / "b", weights=b"2", s_bar=70.0, only=6))
    assert decision.alias == "challenger"
    assert "no prompt of [4000,20000] is answered on both sides" in decision.reason


@pytest.mark.integration
def test_a_version_that_was_rolled_back_is_not_crowned_again_until_it_is_allowed(tmp_path: Path) -> None:
    run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    folder = candidate(tmp_path / "b", weights=b"2", s_bar=70.0)
    run(folder)
    roll_back("it loops")
    assert aliases() == {"champion": "1", "challenger": "2"}
    blocked = run(folder)
    assert (blocked.passed, blocked.alias, aliases()) == (True, "challenger", {"champion": "1", "challenger": "2"})
    assert "it loops (`longwriter models allow 2` lets it in again)" in blocked.reason
    assert allow("2")
    run(folder)
    assert aliases() == {"champion": "2", "previous": "1"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"student": {"mmlu": 61}}', r"general\.json: student\.mmlu: .*less than or equal to 1"),
        ("[1]", "general.json"),
        ('{"student": {"mmlu": "x"}}', "mmlu"),
    ],
)
def test_an_ability_that_is_no_share_is_named(tmp_path: Path, content: str, problem: str) -> None:
    folder = candidate(tmp_path / "a", weights=b"1", s_bar=60.0)
    (folder / "general.json").write_text(content)
    with pytest.raises(BadInput, match=problem):
        run(folder)


def with_aligned(folder: Path, *, s_bar: float) -> Path:
    """The same with an aligned student beside."""
    return with_another(folder, "align", "aligned", s_bar=s_bar)


def with_another(folder: Path, stage: str, name: str, *, s_bar: float) -> Path:
    """The same with a further model that a stage trained."""
    checkpoint = folder / stage / "checkpoints" / name
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(folder.name.encode() + name.encode())
    (checkpoint / "config.json").write_text("{}")
    (folder / stage / "history.jsonl").write_text(f'{{"model": "{name}", "step": 1, "loss": 0.6, "margin": 0.2}}\n')
    items = [*store.read(folder / "score/items.jsonl", ScoredItem), *(scored(name, asked, s_bar, 0) for asked in ASKED)]
    store.write(folder / "score/items.jsonl", items)
    models = dict.fromkeys(item.model for item in items)
    cards = {model: summarise([item for item in items if item.model == model], judge="j") for model in models}
    store.write_json(folder / "score/scorecard.json", {model: card.model_dump(mode="json") for model, card in cards.items()})
    return folder


@pytest.mark.integration
def test_the_aligned_student_is_registered_with_its_own_run_unless_it_is_worse(tmp_path: Path) -> None:
    better = run(with_aligned(candidate(tmp_path / "a", weights=b"1", s_bar=60.0), s_bar=66.0))
    assert (better.model, better.alias) == ("aligned", "champion")
    version = registry.version("1")
    assert version.tags["candidate"] == "aligned"
    assert version.score("s_bar") == pytest.approx(66.0, abs=2)
    aligning = connect().get_run(better.training_run)
    assert (aligning.data.tags["kind"], aligning.data.metrics["aligned/margin"]) == ("align", 0.2)
    assert connect().get_run(aligning.data.tags["training_run"]).data.tags["kind"] == "train"

    further = with_another(
        with_aligned(candidate(tmp_path / "c", weights=b"3", s_bar=60.0), s_bar=66.0), "reinforce", "reinforced", s_bar=66.0
    )
    last = run(further)
    assert last.model == "reinforced", "of equals the one that was trained last"
    before = connect().get_run(connect().get_run(last.training_run).data.tags["training_run"])
    assert before.data.tags["kind"] == "align"

    worse = run(with_aligned(candidate(tmp_path / "b", weights=b"2", s_bar=72.0), s_bar=71.0))
    assert (worse.model, worse.champion_before) == ("student", "1"), "weighed against the champion's own answers, the aligned ones"
    assert (registry.fetch("models:/longwriter@champion") / "model.safetensors").read_bytes() == b"2student"
    assert "gain_over_champion +6.00" in worse.reason


@pytest.mark.integration
def test_a_preview_says_what_would_be_decided_and_registers_nothing(tmp_path: Path) -> None:
    run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    folder = candidate(tmp_path / "b", weights=b"2", s_bar=70.0)
    before = state(), len(connect().search_runs(["1"]))
    inputs = Checkpoints(folder / "train", folder / "align", folder / "reinforce"), folder / "score", folder / "general.json"
    card, decision = preview(*inputs, promote=GATE)
    assert (decision.version, decision.alias, decision.champion_before) == ("new", "champion", "1")
    assert card.s_bar == pytest.approx(70.0, abs=2)
    assert (state(), len(connect().search_runs(["1"]))) == before
    assert run(folder).axes == decision.axes
