"""The pipeline's own releases: a dataset that passed its contract, a checkpoint without pickles, aliases as in the registry."""

from pathlib import Path

import pytest

from tasks.schema.errors import BadInput, GateFailed
from tasks.storage import release, versions
from tasks.storage.client import connect
from tasks.storage.fetch import fetch
from tasks.storage.place import Place

pytestmark = pytest.mark.parametrize("endpoint", ["moto"], indirect=True)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with what the stages leave."""
    monkeypatch.chdir(tmp_path)
    for path, text in {
        release.DATA / "train.parquet": "rows",
        release.VERDICT: '{"passed": true, "rows": 1, "expectations": []}',
        release.STUDENT / "model.safetensors": "weights",
        release.STUDENT / "config.json": "{}",
        release.STUDENT / "README.md": "made by the trainer",
        release.PROMOTED: '{"version": "7", "alias": "champion", "training_run": "r"}',
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


def test_a_checkpoint_names_its_dataset_and_leaves_out_what_is_no_part_of_the_model(at: Place, made: Path) -> None:
    dataset = release.release(release.given("dataset", None), to=at).manifest
    done = release.release(release.registered(), to=at)
    assert [file.path for file in done.manifest.files] == ["config.json", "model.safetensors"]
    assert done.manifest.uses == (f"dataset/{dataset.version}",)
    assert done.manifest.labels["model_version"] == "7"
    (release.STUDENT / "training_args.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(BadInput, match=r"training_args.bin: a pickle, which runs code"):
        release.given("checkpoint", None)


def test_the_aliases_follow_the_registry_and_an_old_champion_does_not_stay(at: Place, made: Path) -> None:
    first = release.release(release.registered(), to=at).manifest.version
    (release.STUDENT / "model.safetensors").write_text("other weights")
    release.PROMOTED.write_text('{"version": "8", "alias": "champion", "training_run": "r"}')
    second = release.release(release.registered(), to=at).manifest.version
    assert release.follow({"champion": "8", "previous": "7"}, at=at) == {"champion": second, "previous": first}
    assert release.follow({"champion": "7", "challenger": "8"}, at=at) == {"champion": first, "challenger": second}
    assert fetch("checkpoint", made / "got", source=at, version="champion", label=None).manifest.version == first
    release.follow({"champion": "9"}, at=at)  # which was never published here
    assert "champion" not in versions.aliases(connect(), at, "checkpoint")
