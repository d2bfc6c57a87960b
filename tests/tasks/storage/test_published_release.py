"""The pipeline's own releases: a dataset that passed its contract, a checkpoint without pickles, aliases as in the registry."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks import serve, store
from tasks.schema.errors import BadInput, GateFailed
from tasks.storage import __main__ as command_line
from tasks.storage import release, versions
from tasks.storage.client import connect
from tasks.storage.fetch import fetch
from tasks.storage.place import Place
from tasks.tracking import registry, runs
from tasks.tracking.checkpoint import digest
from tasks.tracking.client import connect as connect_registry
from tasks.tracking.client import names
from tasks.tracking.gate import Promoted
from tasks.tracking.rollback import roll_back

pytestmark = pytest.mark.parametrize("endpoint", ["moto"], indirect=True)


@pytest.fixture
def made(tmp_path: Path, mlflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with what the stages leave, and an empty registry."""
    monkeypatch.chdir(tmp_path)
    for path, text in {
        release.DATA / "train.parquet": "rows",
        release.VERDICT: '{"passed": true, "rows": 1, "expectations": []}',
        release.STUDENT / "model.safetensors": "weights",
        release.STUDENT / "config.json": "{}",
        release.STUDENT / "README.md": "made by the trainer",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_dataset_is_released_if_it_passed_its_contract(at: Place, made: Path) -> None:
    done = release.release(release.given("dataset", None), to=at)
    assert [file.path for file in done.manifest.files] == ["train.parquet"]
    release.VERDICT.write_text('{"passed": false, "rows": 1, "expectations": []}')
    with pytest.raises(GateFailed, match="did not pass its contract; it is not published"):
        release.given("dataset", None)
    release.VERDICT.unlink()
    with pytest.raises(BadInput, match="no such file; fix: run the stage that writes it"):
        release.given("dataset", None)
    with pytest.raises(BadInput, match="no folder is given; fix: give the folder; only dataset and checkpoint have a default"):
        release.given("other", None)


def registered(folder: Path, *, champion: bool = True, served: str = "2000 of 2000 words") -> registry.Version:
    """The checkpoint as the stages promote and serve leave it: a version, perhaps champion, and what promote wrote."""
    training = runs.record("train", digest(folder))
    version = registry.register(folder, run_id=training, tags={"served": served} if served else {})
    if champion:
        connect_registry().set_registered_model_alias(names().model, "champion", version.number)
    decided: dict[str, Any] = {"version": version.number, "alias": "champion" if champion else "challenger", "training_run": training}
    store.write_json(
        release.PROMOTED,
        Promoted(**decided, registry=registry.identity() or "", checkpoint_digest=version.tags[registry.DIGEST], candidate_since=""),
    )
    return version


def aligned(weights: str = "aligned weights") -> Path:
    release.ALIGNED.mkdir(parents=True, exist_ok=True)
    (release.ALIGNED / "model.safetensors").write_text(weights)
    (release.ALIGNED / "config.json").write_text("{}")
    return release.ALIGNED


def in_store(at: Place, to: Path) -> str:
    """The digest of the weights that a user of the store's champion gets."""
    return digest(fetch("checkpoint", to, source=at, version="champion", label=None, replace=True).folder)


def test_registry_store_and_serving_have_the_same_weights_whichever_model_is_promoted(at: Place, made: Path) -> None:
    for folder in (release.STUDENT, aligned()):
        version = registered(folder)
        done = release.release(release.registered(), to=at)
        assert (done.manifest.labels["model_version"], done.manifest.labels["checkpoint_digest"]) == (version.number, digest(folder))
        release.follow(at=at)
        served = serve._checkpoint(store.read_document(release.PROMOTED, Promoted), release.PROMOTED)
        assert in_store(at, made / "got") == digest(served) == version.tags[registry.DIGEST] == digest(folder)


def test_what_is_published_comes_from_the_registry_if_the_workspace_has_another_model(at: Place, made: Path) -> None:
    version = registered(release.STUDENT)
    (release.STUDENT / "model.safetensors").write_text("trained again meanwhile")
    done = release.release(release.registered(), to=at)
    assert done.manifest.labels["checkpoint_digest"] == version.tags[registry.DIGEST] != digest(release.STUDENT)
    release.follow(at=at)
    assert in_store(at, made / "got") == version.tags[registry.DIGEST]


def test_a_checkpoint_names_its_dataset_and_leaves_out_what_is_no_part_of_the_model(at: Place, made: Path) -> None:
    dataset = release.release(release.given("dataset", None), to=at).manifest
    registered(release.STUDENT)
    done = release.release(release.registered(), to=at)
    assert [file.path for file in done.manifest.files] == ["config.json", "model.safetensors"]
    assert done.manifest.uses == (f"dataset/{dataset.version}",)
    assert done.manifest.labels["model_version"] == "1"
    (release.STUDENT / "training_args.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(BadInput, match=r"training_args.bin: a pickle, which runs code"):
        release.given("checkpoint", None)


def test_the_aliases_follow_the_registry_and_an_old_champion_does_not_stay(at: Place, made: Path) -> None:
    client, model = connect_registry(), names().model
    first = registered(release.STUDENT)
    release.follow(at=at)
    second = registered(aligned())
    client.set_registered_model_alias(model, "previous", first.number)
    found = release.follow(at=at).aliases
    assert {alias: versions.resolve(connect(), at, "checkpoint", alias).labels["model_version"] for alias in found} == {
        "champion": second.number,
        "previous": first.number,
    }
    roll_back("it loops")
    assert release.follow(at=at).aliases == {"champion": found["previous"], "challenger": found["champion"]}
    assert "previous" not in versions.aliases(connect(), at, "checkpoint"), "the registry has it no more"
    client.delete_registered_model_alias(model, "champion")
    assert release.follow(at=at).left == {"champion": "no version in the registry"}
    assert set(versions.aliases(connect(), at, "checkpoint")) == {"challenger"}


def test_a_champion_that_was_not_served_is_not_offered(at: Place, made: Path) -> None:
    first = registered(release.STUDENT)
    release.follow(at=at)
    registered(aligned(), served="")
    assert release.follow(at=at).left == {"champion": "version 2 has not been served yet; run the stage serve: `longwriter run`"}
    assert in_store(at, made / "got") == first.tags[registry.DIGEST]


@pytest.mark.integration
def test_an_alias_of_the_registry_is_not_set_by_hand_to_another_checkpoint(at: Place, made: Path) -> None:
    registered(release.STUDENT)
    release.follow(at=at)
    other = release.release(release.given("checkpoint", aligned()), to=at).manifest.version
    with pytest.raises(
        BadInput, match=r"champion is version 1, another checkpoint in the model registry, and the store follows it; fix: `long"
    ):
        release.set_alias(at, "checkpoint", "champion", other)
    with pytest.raises(BadInput, match="previous is no version in the model registry"):
        release.release(release.given("checkpoint", aligned()), to=at, aliases=("previous",))
    assert release.set_alias(at, "checkpoint", "reviewed", other) == other
    assert release.set_alias(at, "checkpoint", "champion", "champion") == versions.aliases(connect(), at, "checkpoint")["champion"]


def test_an_alias_of_a_pruned_version_is_refused_and_following_publishes_it_again(at: Place, made: Path) -> None:
    version = registered(release.STUDENT)
    gone = release.follow(at=at).aliases["champion"]
    client, manifest = connect(), versions.resolve(connect(), at, "checkpoint", "champion")
    client.delete_object(Bucket=at.bucket, Key=at.manifest("checkpoint", gone))
    for file in manifest.files:
        client.delete_object(Bucket=at.bucket, Key=at.content("checkpoint", manifest.content) + file.path)
    with pytest.raises(BadInput, match=f"the alias champion points to version {gone}, which is gone from the store; fix: set it again"):
        fetch("checkpoint", made / "got", source=at, version="champion", label=None)
    release.follow(at=at)
    assert in_store(at, made / "got") == version.tags[registry.DIGEST]


def test_an_alias_of_a_version_without_files_anywhere_is_removed(at: Place, made: Path, mlflow_home: Path) -> None:
    registered(release.STUDENT)
    shutil.rmtree(mlflow_home / "mlartifacts")
    (release.STUDENT / "model.safetensors").write_text("trained again meanwhile")
    left = release.follow(at=at).left
    assert left["champion"].startswith("version 1 is not published: ")
    assert versions.aliases(connect(), at, "checkpoint") == {}


def test_a_label_that_says_which_model_it_is_cannot_be_given_by_hand(at: Place) -> None:
    with pytest.raises(BadInput, match="checkpoint_digest says which registered checkpoint it is, and is set by --registered"):
        command_line._pairs(["checkpoint_digest=0"])
