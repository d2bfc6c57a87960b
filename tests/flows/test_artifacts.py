"""A stage's bar as a progress artifact of its task run, on a real Prefect API."""

import logging
from pathlib import Path

import pytest
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact as Stored
from prefect.client.schemas.sorting import ArtifactSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import stages
from flows.artifacts import StageArtifact
from flows.longwriter import longwriter

pytestmark = pytest.mark.usefixtures("api")


pytestmark = pytest.mark.integration  # all of them need the same slow fixture


def newest(key: str) -> Stored:
    with get_client(sync_client=True) as client:
        return client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.CREATED_DESC, limit=1
        )[0]


def test_a_completed_stage_stands_at_100_with_its_bar_as_the_description(done: Path) -> None:
    (done / "toy.yaml").write_text("words: 2\n")
    assert longwriter()["first"] == "Completed"
    artifact = newest("first-progress")
    assert (artifact.type, artifact.data, artifact.description) == ("progress", 100.0, "first: 100%|bar| words")
    assert artifact.task_run_id
    assert artifact.flow_run_id


def test_the_artifact_follows_the_bar_and_stays_where_a_stage_failed(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "BAR_SECONDS", 0.0)
    (toy / "in.txt").write_text("patient\n")
    (toy / "work.py").write_text((toy / "work.py").read_text().replace("(0, 50, 100)", "(0, 50)") + "sys.exit(3)\n")
    with pytest.raises(stages.StageFailed):
        longwriter()
    artifact = newest("first-progress")
    assert (artifact.data, artifact.description) == (50.0, "first:  50%|bar| words")


@pytest.mark.filterwarnings("ignore:Artifact creation outside:FutureWarning")
def test_a_prefect_that_takes_no_progress_costs_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        caplog.at_level(logging.WARNING),
        StageArtifact("Write@full", logging.getLogger("stage")) as progress,
    ):
        progress.show("write:   1%|")
        progress._wait()
        progress.show("write:   2%|")
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "stage"]
    assert warning.startswith("no progress in Prefect, the stage goes on: ConnectError: ")


def test_the_key_of_any_stage_is_one_that_prefect_takes() -> None:
    assert Artifact(type="progress", key=StageArtifact("Write@full_size", logging.getLogger())._key).key == "write-full-size-progress"
