"""A task's YAML is checked before anything is served."""

from pathlib import Path

import pytest

from tasks.harness import taskfile
from tasks.schema.errors import BadInput
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text("{}\n")
    Path("b.jsonl").write_text("{}\n")


def read(text: str) -> taskfile.TaskFile:
    Path("task.yaml").write_text(text, encoding="utf-8")
    return taskfile.read(Path("task.yaml"))


def test_the_sample_task_is_local_and_names_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = taskfile.read(Path("profiles/general/facts.yaml"))
    assert found == ("facts", (Path("profiles/general/facts.yaml"), Path("profiles/general/facts.jsonl")), True)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ("a.jsonl", ["a.jsonl"]),
        ("[a.jsonl, b.jsonl]", ["a.jsonl", "b.jsonl"]),
        ("{train: a.jsonl, test: [b.jsonl]}", ["a.jsonl", "b.jsonl"]),
        ("'*.jsonl'", ["a.jsonl", "b.jsonl"]),
    ],
)
def test_data_files_are_one_or_many_by_split_or_by_pattern(data: str, names: list[str]) -> None:
    found = read(f"task: t\ndataset_path: json\ndataset_kwargs: {{data_files: {data}}}\ndoc_to_text: !function utils.text\n")
    assert ([path.name for path in found.files[1:]], found.local) == (names, True)


@pytest.mark.parametrize("text", ["task: t\ndataset_path: cais/mmlu\n", "task: t\ndataset_kwargs: {data_files: hf://datasets/a/b.jsonl}\n"])
def test_a_file_whose_data_is_on_a_hub_may_go_online(text: str) -> None:
    assert not read(text).local


def test_an_included_file_may_give_the_name() -> None:
    Path("base.yaml").write_text("task: t\n")
    assert read("include: base.yaml\n") == (None, (Path("task.yaml"), Path("base.yaml")), False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: [\n", r"task\.yaml:\d+: not YAML: "),
        ("- task\n", r"task\.yaml: not a mapping of a task's fields; "),
        ("", r"task\.yaml: not a mapping"),
        ("task: 3\n", r"task\.yaml: the field `task` has no name; "),
        ("group: several\ntask: [one, other]\n", r"task\.yaml: a group, which lm-evaluation-harness takes by name only; "),
        ("include: nowhere.yaml\n", r"task\.yaml: include: nowhere\.yaml: no such file; "),
        ("task: t\ndataset_kwargs: {data_files: c.jsonl}\n", r"task\.yaml: dataset_kwargs\.data_files: c\.jsonl: no such file; "),
    ],
)
def test_what_is_no_task_is_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read(text)


def test_a_file_that_is_not_there_or_not_text_is_told() -> None:
    with pytest.raises(BadInput, match=r"nowhere\.yaml: no such task file; fix: correct evaluate_general\.tasks in params\.yaml"):
        taskfile.read(Path("nowhere.yaml"))
    Path("task.yaml").write_bytes(b"task: \xff")
    with pytest.raises(BadInput, match="not UTF-8 at byte 6"):
        taskfile.read(Path("task.yaml"))
