"""A real training on the team's real back end, while a machine dies and while a server is away, and the evaluation of what it made.

Stages are this project's: `train` belongs to the pool gpu, `promote` records the training and registers its student. What stands
between them in dvc.yaml is given. Machines have clones and homes of their own, and share the servers alone.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks import store
from tasks.processes import family
from tasks.schema.params import load
from tasks.schema.settings import settings
from tasks.tracking import registry, unevaluated
from tasks.tracking.client import connect, experiment
from tasks.training.checkpoints import step
from tasks.training.job import HISTORY
from tests import backend
from tests.backend import Team, another_worker, api, clone, commit, dead, pid, said, soon, started, suspended, until
from tests.conftest import ROOT
from tests.tasks.promotions import candidate
from tests.tasks.training.packs import packed_student

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

EPOCHS, STEPS = 150, 2400  # of one pack each
CHECKPOINT = "training-*/versions/checkpoint-*.json"  # in the store
GRAPH = """
stages:
  pack:
    cmd: mkdir -p data/pack && cp -r given/pack/packs given/pack/tokenizer data/pack
    deps: [given/pack]
    outs: [data/pack/packs, data/pack/tokenizer]
  train:
    meta: {pool: gpu}
    cmd: exec python -m tasks.train data/pack/packs data/pack/tokenizer data/train
    deps: [data/pack/packs, data/pack/tokenizer]
    params: [seed, base, train]
    outs: [data/train/checkpoints, data/train/history.jsonl, data/train/resolved.json]
    metrics: [data/train/metrics.json]
    plots: [data/train/loss.csv: {x: step, y: loss}]
  promote:
    cmd: exec python -m tasks.promote data/train given/align given/reinforce given/score given/general.json given/dataset data/promote
    deps: [data/train/checkpoints, data/train/history.jsonl, data/train/resolved.json, given]
    params: [seed, base, pack, train, align, reinforce, promote]
    outs: [data/promote/decision.json, data/promote/promoted.json]
    metrics: [data/promote/metrics.json]
"""
PROMPTS = [{"prompt": f"Write a {words}-word essay about bread.", "type": "Popular Science", "length": words} for words in (50, 100)]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("checkout")
    candidate(folder / "given", weights=b"", s_bar=60.0)
    packed_student(folder / "given/pack")
    (folder / "data/raw").mkdir(parents=True)
    benchmark = "".join(json.dumps(row) + "\n" for row in PROMPTS)
    checkout = backend.small_checkout(folder, GRAPH, {"params.yaml": params(seed=42), "data/raw/benchmark.jsonl": benchmark})
    with backend.team(checkout) as running:
        said = running.run("flows.cli", "deploy", "--silence", "90")
        assert said.returncode == 0, said.stderr
        yield running


@pytest.fixture(autouse=True)
def own_settings(team: Team, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow is asked as one of the team would."""
    for name, value in team.environment().items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield
    settings.cache_clear()


def params(*, seed: int) -> str:
    text = (ROOT / "profiles/rehearsal.yaml").read_text(encoding="utf-8")
    return text.replace("seed: 42", f"seed: {seed}", 1).replace("epochs: 8", f"epochs: {EPOCHS}", 1)


def trained_alone(team: Team, folder: Path) -> Path:
    """What the stage leaves that nobody disturbs, with no store for its checkpoints."""
    words = ["-m", "tasks.train", str(team.checkout / "given/pack/packs"), str(team.checkout / "given/pack/tokenizer"), "out"]
    (folder / "params.yaml").write_text((team.checkout / "params.yaml").read_text())
    own = {"PYTHONPATH": str(ROOT), "LONGWRITER_HOME": "home", "LONGWRITER_CHECKPOINT_STORE": "", "LONGWRITER_TRACKING_URI": ""}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=team.environment(**own), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "out"


def losses(history: Path) -> list[tuple[int, float]]:
    points = [json.loads(line) for line in history.read_text().splitlines()]
    return [(point["step"], point["loss"]) for point in points]


def named(team: Team, name: str, **filters: Any) -> str:
    """The id of a run with this name, once there is one."""
    found = soon(lambda: api(team, "/flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}, **filters}}))
    return str(found[0]["id"])


def handed_over(team: Team, stage: str, parent: str) -> str:
    """The run of a stage that this flow run gave to another machine."""
    return named(team, stage, idempotency_key={"any_": [f"{parent}:{stage}"]})


def runs(kind: str, flow_run: str) -> list[Any]:
    """MLflow's, of a kind, within a flow run."""
    client = connect()
    return list(client.search_runs([experiment(client)], filter_string=f"tags.kind = '{kind}' and tags.flow_run_id = '{flow_run}'"))


def test_a_training_whose_machine_dies_is_gone_on_with_by_another_from_its_last_checkpoint(team: Team, tmp_path: Path) -> None:
    run = started(team, "longwriter/longwriter", push=True, elsewhere=True)
    training = handed_over(team, "train", run)
    sent = team.home / "team/s3" / team.values["TEAM_BUCKET"] / "checkpoints"
    soon(lambda: list(sent.glob(CHECKPOINT)))
    with suspended([psutil.Process(pid(team, "owner"))]):  # which would start the worker again
        dead(pid(team, "worker-gpu"))
        [left] = clone(team, "gpu").glob(f".longwriter/training/*/{HISTORY}")
        newest = max(step(path.with_suffix("")) for path in sent.glob(CHECKPOINT))
        assert newest <= len(losses(left)) < STEPS, "it died in the middle"
        with another_worker(team, "gpu") as other:
            assert until(team, run, "Completed")["run_count"] == 1
            history, whole = (other / "data/train" / HISTORY), trained_alone(team, tmp_path)
            assert f"going on from checkpoint-{newest}, which another machine left in the store" in said(team, training)
            numbers = history.read_text().splitlines()
            assert numbers[:newest] == left.read_text().splitlines()[:newest], "the first machine's own, its speed included"
            assert losses(history) == losses(whole / HISTORY)
    assert api(team, f"/flow_runs/{training}")["run_count"] == 2
    assert not (clone(team, "gpu") / "data/train").exists()
    assert store.folder_digest(clone(team, "cpu") / "data/train/checkpoints") == store.folder_digest(whole / "checkpoints")


def test_mlflow_is_away_when_a_training_ends_and_has_each_of_its_steps_once(team: Team) -> None:
    commit(team, "params.yaml", params(seed=43))
    run = started(team, "longwriter/longwriter", push=True, elsewhere=True)
    training = handed_over(team, "train", run)
    soon(lambda: [live for live in runs("progress", training) if "student/loss" in live.data.metrics])
    with suspended(family(pid(team, "mlflow"))):
        assert until(team, training, "Completed")["run_count"] == 1
    until(team, run, "Completed")
    [recorded] = runs("train", run)
    points = connect().get_metric_history(recorded.info.run_id, "student/loss")
    assert [(point.step, point.value) for point in points] == losses(clone(team, "gpu") / "data/train" / HISTORY)


def test_a_new_version_is_found_answered_judged_and_scored(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    until(team, started(team, "longwriter/longwriter", push=True, elsewhere=True), "Completed")
    started(team, "unevaluated/unevaluated")
    until(team, named(team, "version 1"), "Completed")
    tags = registry.version("1").tags
    assert {unevaluated.TRIES, unevaluated.FAILED}.isdisjoint(tags)
    scores = connect().get_run(tags["evaluation_run"]).data.metrics
    assert scores["student/items"] == len(PROMPTS), "promote's own scores are of other prompts"
    assert scores["student/s_bar"] == float(tags["s_bar"])
    monkeypatch.chdir(team.checkout)
    assert "1" not in [one.number for one in unevaluated.look(load())]
