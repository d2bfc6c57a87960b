"""Promote's result is asked for in the registry: a flow and `longwriter repro` never take another registry's result for this one's."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from dvc.repo import Repo

from flows import outside, verified_dvc
from flows.longwriter import longwriter
from tasks import store
from tasks.schema.errors import EndpointError
from tasks.schema.settings import settings
from tasks.tracking import alias_moves, registry
from tasks.tracking.client import connect, names
from tasks.tracking.gate import Promoted
from tasks.tracking.outside import contradiction
from tests.tasks.promotions import candidate

pytestmark = pytest.mark.timeout(300)

GRAPH = """
stages:
  promote:
    meta: {outside: registry}
    cmd: exec python -m tasks.promote data/train data/align data/reinforce data/score data/general.json data/dataset data/promote
    deps: [data/train, data/score, data/general.json, data/dataset]
    params: [seed, base, pack, train, align, reinforce, promote]
    outs:
      - data/promote/decision.json: {cache: false, persist: true}
      - data/promote/promoted.json: {cache: false, persist: true}
    metrics: [data/promote/metrics.json]
"""
RESULT = Path("data/promote/promoted.json")


@pytest.fixture
def workspace(toy: Path) -> Path:
    """The real stage promote, with a checkpoint and scores to decide about."""
    (toy / "dvc.yaml").write_text(GRAPH)
    candidate(toy / "data", weights=b"1", s_bar=70.0)
    return toy


@pytest.fixture
def server(mlflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """MLflow's own server on loopback, in this process, on the test's store."""
    from mlflow.server import app, handlers
    from werkzeug.serving import make_server

    monkeypatch.setattr(handlers, "_tracking_store", None)
    monkeypatch.setattr(handlers, "_model_registry_store", None)
    base = f"sqlite:///{(mlflow_home / 'mlflow.db').resolve()}"
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", base)
    monkeypatch.setenv("_MLFLOW_SERVER_REGISTRY_STORE", base)
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(mlflow_home / "mlartifacts"))
    serving = make_server("127.0.0.1", 0, app, threaded=True)
    Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()


def use(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_TRACKING_URI", url)
    settings.cache_clear()


@pytest.mark.integration
@pytest.mark.usefixtures("api")
def test_a_result_of_another_registry_is_not_true_here_and_the_stage_runs_again(
    workspace: Path, mlflow_home: Path, empty_store: Path
) -> None:
    assert longwriter() == {"promote": "Completed"}
    assert waiting() == ["1"]
    assert longwriter() == {"promote": "Cached"}

    use_empty(mlflow_home, empty_store)
    said = subprocess.run([sys.executable, "-m", "flows.cli", "status"], capture_output=True, text=True, check=True).stdout
    assert "registry: no model longwriter is registered there" in said
    assert longwriter() == {"promote": "Completed"}, "a green run with an empty registry is what may not be"
    assert waiting() == ["1"]

    use_empty(mlflow_home, empty_store)
    verified_dvc._ask_outside()
    assert not RESULT.exists(), "`longwriter repro` asks too"
    done = subprocess.run([sys.executable, "-m", "dvc", "repro"], capture_output=True, text=True, check=True).stdout
    assert "Running stage 'promote'" in done, "no cache has its result, for plain DVC either"
    assert waiting() == ["1"]


def waiting() -> list[str]:
    """The versions that passed the gate and become champion once they have been served."""
    assert registry.holders() == {}
    return [one.number for one in registry.versions() if alias_moves.waits(one.tags, None)]


def use_empty(home: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, home / "mlflow.db")
    shutil.rmtree(home / "mlartifacts", ignore_errors=True)


def registered() -> Promoted:
    """A version that is champion, without files, and what promote writes of it."""
    client, name = connect(), names().model
    client.create_registered_model(name, tags={registry.IDENTITY: "one"})
    client.create_model_version(name, source="s3://nowhere/files", tags={registry.DIGEST: "abc"})
    client.set_registered_model_alias(name, "champion", "1")
    return Promoted(version="1", alias="champion", training_run="r", registry="one", checkpoint_digest="abc", candidate_since="")


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["embedded", "server", "database"])
def test_every_kind_of_registry_says_whether_a_result_is_true(
    kind: str, mlflow_home: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "server":
        use(request.getfixturevalue("server"), monkeypatch)
    if kind == "database":
        use(f"sqlite:///{(mlflow_home / 'mlflow.db').resolve()}", monkeypatch)
    assert contradiction(
        Promoted(version="1", alias="champion", training_run="r", registry="one", checkpoint_digest="abc", candidate_since="")
    ) == ("no model longwriter is registered there")
    true, client = registered(), connect()
    assert contradiction(true) is None
    assert contradiction(true.model_copy(update={"registry": "two"})) == "another registry made that decision"
    assert contradiction(true.model_copy(update={"version": "7"})) == "version 7 is gone"
    assert contradiction(true.model_copy(update={"checkpoint_digest": "xyz"})) == "version 1 is another checkpoint there"
    client.create_model_version(names().model, source="s3://nowhere/files", tags={registry.DIGEST: "def"})
    client.set_registered_model_alias(names().model, "champion", "2")
    assert contradiction(true) == "version 2 is champion there, not version 1"
    assert contradiction(true.model_copy(update={"alias": "challenger"})) is None, "any version may be challenger next"
    client.delete_registered_model_alias(names().model, "champion")
    assert contradiction(true) == "no version is champion there, not version 1"
    waits = true.model_copy(update={"candidate_since": "today"})
    client.set_model_version_tag(names().model, "1", alias_moves.SINCE, "today")
    client.set_model_version_tag(names().model, "1", alias_moves.AGAINST, "")
    assert contradiction(waits) is None, "it is champion once it has been served"
    assert contradiction(waits.model_copy(update={"candidate_since": "yesterday"})) == "no version is champion there, not version 1"
    client.set_registered_model_alias(names().model, "champion", "2")
    assert contradiction(waits) == "version 2 is champion there, not version 1", "it passed against no champion"
    client.set_model_version_tag(names().model, "1", alias_moves.AGAINST, "2")
    assert contradiction(waits) is None
    client.set_model_version_tag(names().model, "1", alias_moves.FALLEN, "it loops")
    assert contradiction(waits) == "version 2 is champion there, not version 1", "it is blocked"
    client.delete_model_version(names().model, "1")
    assert contradiction(true) == "version 1 is gone"


def test_a_registry_that_does_not_answer_confirms_nothing(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RESULT.parent.mkdir()
    store.write_json(
        RESULT, Promoted(version="1", alias="champion", training_run="r", registry="one", checkpoint_digest="abc", candidate_since="")
    )
    use("http://127.0.0.1:9", monkeypatch)
    with Repo() as repo:
        assert outside.untrue(repo, {"other"}) == []
        with pytest.raises(EndpointError, match=r"^MLflow: http://127.0.0.1:9 does not answer \(ConnectError\); run again when it works$"):
            outside.untrue(repo)


def test_a_result_of_an_earlier_release_without_its_registry_is_not_taken(workspace: Path) -> None:
    RESULT.parent.mkdir()
    RESULT.write_text('{"version": "1", "alias": "champion", "training_run": "r"}')
    with Repo() as repo:
        (line,) = outside.forget(repo)
    assert "promoted.json" in line
    assert line.endswith("the stage runs again")
    assert not RESULT.exists()
