"""`longwriter run --teacher recorded --answers PATH`: which profile it takes, and which files it copies."""

from pathlib import Path

import pytest

from flows.profiles import variant
from flows.recorded import HERE, take
from tasks import doctor
from tasks.schema import standins
from tasks.schema.errors import BadInput, BadSettings
from tasks.schema.params import load
from tasks.schema.settings import settings
from tests.conftest import ROOT
from tests.recorded_texts import good_row, write_rows


@pytest.fixture(autouse=True)
def empty_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "checkout"
    (folder / "data/raw").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def copied() -> list[str]:
    return sorted(path.relative_to(HERE).as_posix() for path in HERE.rglob("*") if path.is_file())


def test_the_flag_names_the_profile_s_variant() -> None:
    assert variant("smollm2", "recorded") == "smollm2-recorded"
    assert variant("smollm2-recorded", "recorded") == "smollm2-recorded"
    assert variant("smollm2", "") == "smollm2"


@pytest.mark.parametrize(
    ("profile", "teacher", "problem"),
    [
        ("paper", "recorded", "there is no profile paper-recorded; fix: use one of .*smollm2-recorded"),
        ("smollm2", "nobody", "there is no profile smollm2-nobody; fix: use one of .*smollm2-recorded"),
        ("", "recorded", "no profile is named; fix: add --profile"),
    ],
)
def test_a_variant_that_does_not_exist_is_named_with_those_that_do(profile: str, teacher: str, problem: str) -> None:
    with pytest.raises(BadSettings, match=problem):
        variant(profile, teacher)


def test_the_files_with_answers_are_copied_and_files_of_prompts_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(tmp_path / "mine/a/one.jsonl", good_row(0))
    write_rows(tmp_path / "mine/b/one.jsonl", good_row(1))
    write_rows(tmp_path / "mine/prompts.jsonl", {"prompt": "Tell me about mills."})
    take(tmp_path / "mine")
    assert copied() == ["a/one.jsonl", "b/one.jsonl"]
    assert "prompts.jsonl" in capsys.readouterr().out
    take(tmp_path / "mine/b/one.jsonl")
    assert copied() == ["one.jsonl"], "another path replaces the copy"
    take(None)
    take(HERE)
    assert copied() == ["one.jsonl"]


def test_answers_beside_the_checkout_are_the_default(tmp_path: Path) -> None:
    write_rows(tmp_path / "shared/data/chats/rows.jsonl", good_row(0))
    take(None)
    assert copied() == ["chats/rows.jsonl"]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (None, "data/raw/recorded: no recorded answers are there; fix: name a JSONL file or a folder"),
        (Path("nowhere"), "nowhere: no such file or folder; fix: "),
        (Path("prompts.jsonl"), r"prompts\.jsonl:1: missing field: none of output, response.*; fix: "),
        (Path("folder"), r"prompts\.jsonl:1: missing field"),
        (Path("empty"), "no file with rows here"),
    ],
)
def test_answers_that_cannot_be_used_are_one_line_and_keep_the_copy(path: Path | None, problem: str) -> None:
    write_rows(Path("prompts.jsonl"), {"prompt": "Tell me about mills."})
    write_rows(Path("folder/prompts.jsonl"), {"prompt": "Tell me about mills."})
    Path("empty").mkdir()
    if path:
        write_rows(HERE / "old.jsonl", good_row(0))
    with pytest.raises(BadInput, match=problem):
        take(path)
    assert copied() == (["old.jsonl"] if path else [])


def test_nobody_is_asked_to_select_or_to_write_and_no_stand_in_is_misplaced() -> None:
    params = load(ROOT / "profiles/smollm2-recorded.yaml")
    assert doctor.roles(params) == ["candidate"]
    assert standins.misplaced(params, settings()) == []
