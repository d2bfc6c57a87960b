"""`longwriter models push`: a version of a real registry with its card, on a stand-in of the hub."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tasks.release.__main__ import app
from tasks.tracking import registry, runs
from tasks.tracking.checkpoint import sha256
from tasks.tracking.rollback import tag
from tests.commands import called
from tests.hub import OWNER, Hub, hub
from tests.tasks.promotions import candidate, run

GIVEN = ("--licence", "Apache-2.0")


@pytest.fixture(scope="module")
def there() -> Iterator[Hub]:
    with hub() as state:
        yield state


@pytest.fixture(autouse=True)
def hub_and_registry(there: Hub, mlflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", OWNER)
    monkeypatch.setenv("HF_ENDPOINT", there.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    there.repositories.clear()


@pytest.fixture
def registered(tmp_path: Path) -> Path:
    """Version 1 of the registry was trained from `tiny` and not evaluated."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"1student")
    (folder / "config.json").write_text("{}")
    registry.register(folder, run_id=runs.record("train", "abc", params={"base.model": "tiny"}), tags={})
    return tmp_path


def said(*words: str, code: int = 0) -> str:
    done = called(app, ["push", *words])
    assert done.returncode == code, done.stderr + done.stdout
    if code:
        lines = [line for line in done.stderr.splitlines() if "Downloading artifacts" not in line]  # MLflow's progress
        assert (len(lines), lines[0][:7]) == (1, "error: ")
    return done.stderr if code else done.stdout


@pytest.mark.integration
def test_a_version_is_pushed_by_its_alias_with_a_card_of_lineage_and_scores(there: Hub, tmp_path: Path) -> None:
    run(candidate(tmp_path / "a", weights=b"1", s_bar=60.0))
    lines = said("champion", "ada/writer", *GIVEN).splitlines()
    assert lines[0].startswith("model ada/writer: a new private repository; a new pull request: Version 1 of longwriter, checkpoint ")
    assert lines[-1] == f"sent 3 files, {lines[-2].split(', ')[1]}: {there.url}/ada/writer/discussions/1"
    request = there.repositories["models/ada/writer"].requests[1]
    assert request.files["model.safetensors"] == b"1student"
    text = request.files["README.md"].decode()
    data = ModelCard(text).data.to_dict()
    assert (data["license"], data["pipeline_tag"]) == ("apache-2.0", "text-generation")
    version = registry.version("1")
    for shown in (
        f"`{version.tags['checkpoint_digest']}`",
        "| base model | tiny |",
        "**This is a rehearsal.**",
        "| gate | passed |",
        "| mmlu | 0.61 |",
        "by the judge `j`",
        "| [500,2000) words | 2 |",
        "| train | not recorded | dataset | 1 | `",
        "| base.model | tiny |",
    ):
        assert shown in text, shown
    (scores,) = [line for line in text.splitlines() if line.startswith("| all |")]
    assert scores.startswith("| all | 8 | 80.0 [")
    assert scores.count("[") >= 3, "S_l, S_q and S̄ have intervals"
    assert "{{" not in text
    assert "None" not in text
    again = said("1", "ada/writer", *GIVEN)
    assert "nothing to send: the hub has these files" in again
    assert len(there.repositories["models/ada/writer"].requests) == 1


def test_a_dry_run_shows_the_files_and_sends_none(there: Hub, registered: Path) -> None:
    said_ = said("1", "ada/writer", *GIVEN, "--dry-run")
    assert "3 of 3 files to send" in said_
    assert said_.endswith("nothing was sent (--dry-run)\n")
    assert not there.repositories


def test_what_cannot_be_pushed_is_one_line_and_nothing_is_sent(there: Hub, registered: Path) -> None:
    assert "tiny: base.model: the licence of the base model is not stated; fix: name it with --licence" in said("1", "ada/writer", code=2)
    assert "models:/longwriter/9: no such version" in said("9", "ada/writer", *GIVEN, code=2)
    assert "the alias points to no version" in said("nobody", "ada/writer", *GIVEN, code=2)
    gguf = registered / "model.gguf"
    assert "no such file; fix: `longwriter models export 1" in said("1", "ada/writer", *GIVEN, "--gguf", str(gguf), code=2)
    gguf.write_bytes(b"GGUF")
    assert "model.gguf: its SHA-256 is not that of the checked export of version 1; fix:" in said(
        "1", "ada/writer", *GIVEN, "--gguf", str(gguf), code=2
    )
    kept = registry.fetch("models:/longwriter/1")
    (kept / "model.safetensors").write_bytes(b"changed")
    assert f"{kept}: the files are not those of version 1; fix: remove the folder" in said("1", "ada/writer", *GIVEN, code=2)
    (kept / "training_args.bin").write_bytes(b"\x80\x04.")
    assert "a pickle, which runs code when it is loaded" in said("1", "ada/writer", *GIVEN, code=2)
    assert not there.repositories


def test_a_checked_export_is_pushed_beside_the_weights(there: Hub, registered: Path) -> None:
    gguf = registered / "writer.gguf"
    gguf.write_bytes(b"GGUF and weights")
    tag("1", {registry.GGUF: sha256(gguf), registry.GGUF_CHECK: "S_l 80.0 and 79.5 on 8 prompts"})
    said("1", "ada/writer", *GIVEN, "--gguf", str(gguf))
    files = there.repositories["models/ada/writer"].requests[1].files
    assert files["writer.gguf"] == b"GGUF and weights"
    assert "S_l 80.0 and 79.5 on 8 prompts" in files["README.md"].decode()


def test_a_version_without_an_evaluation_says_so(there: Hub, registered: Path) -> None:
    said("1", "ada/bare", *GIVEN)
    text = there.repositories["models/ada/bare"].requests[1].files["README.md"].decode()
    for shown in (
        "This version was not evaluated.",
        "| none recorded | | | |",
    ):
        assert shown in text, shown
