"""Which files a source entry selects, and that a remote file matches its pin."""

from pathlib import Path

import pytest

from tasks.schema.errors import BadInput
from tasks.schema.params import Source
from tasks.sources.files import files_of
from tasks.sources.patterns import matching


def entry(*files: str) -> Source:
    return Source(name="chats", files=list(files), format="auto", adapter="auto", revision="", licence="CC0-1.0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/one.jsonl", "a/two.parquet", "a/deep/three.jsonl", "a/README.md", "b.jsonl", ".hidden.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('{"prompt": "x"}\n')
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["b.jsonl"], ["b.jsonl"]),
        (["a"], ["a/deep/three.jsonl", "a/one.jsonl", "a/two.parquet"]),
        (["a/*.jsonl"], ["a/one.jsonl"]),
        (["**/*.jsonl"], [".hidden.jsonl", "a/deep/three.jsonl", "a/one.jsonl", "b.jsonl"]),
        (["a/one.jsonl", "a/*.jsonl", "a"], ["a/deep/three.jsonl", "a/one.jsonl", "a/two.parquet"]),
    ],
)
def test_files_folders_and_globs_are_read_by_name_each_file_once(folder: Path, patterns: list[str], names: list[str]) -> None:
    assert [file.name for file in files_of(entry(*patterns), folder)] == [f"chats/{name}" for name in names]


@pytest.mark.parametrize("pattern", ["none.jsonl", "*.none", "none/**/*.jsonl"])
def test_a_pattern_that_matches_nothing_names_the_source(folder: Path, pattern: str) -> None:
    with pytest.raises(BadInput, match="source chats: no such file or folder; fix: check the files of chats"):
        files_of(entry("b.jsonl", pattern), folder)


def test_a_folder_without_a_readable_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no file to read in this folder"):
        files_of(entry("empty"), tmp_path)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", ["data/a.jsonl", "data/sub/b.jsonl", "top.jsonl"]),
        ("data", ["data/a.jsonl", "data/sub/b.jsonl"]),
        ("data/*.jsonl", ["data/a.jsonl"]),
        ("data/**/*.jsonl", ["data/a.jsonl", "data/sub/b.jsonl"]),
        ("*.jsonl", ["top.jsonl"]),
        ("data/[ab].jsonl", ["data/a.jsonl"]),
        ("data/a.jsonl", ["data/a.jsonl"]),
        ("dat", []),
    ],
)
def test_a_star_stays_within_a_folder_and_two_do_not(pattern: str, found: list[str]) -> None:
    assert matching(pattern, ["data/a.jsonl", "data/sub/b.jsonl", "top.jsonl", "data/notes.md"]) == found


def test_of_a_folder_what_is_left_out_is_said_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a/.cache").mkdir()
    for name in ("a/table.csv", "a/LICENSE", "a/dataset_infos.json", "a/.cache/four.jsonl"):
        (folder / name).write_text('{"prompt": "x"}\n')
    assert [file.name for file in files_of(entry("a"), folder)] == ["chats/a/deep/three.jsonl", "chats/a/one.jsonl", "chats/a/two.parquet"]
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{folder / 'a'}: left out: table.csv; what is read ends in")
