"""Every kind of row is read as what it is, and a row that is not understood is shown with the reason."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.reader import files
from tasks.reader.collections import collections_of
from tasks.reader.shapes import shape_of
from tasks.schema.errors import BadInput
from tests.tasks.reader.material import run_folder


def test_a_runs_folder_has_a_collection_per_kind_and_the_evaluation_comes_first(tmp_path: Path) -> None:
    found = collections_of(run_folder(tmp_path / "data"))
    assert found[0].name == "evaluation"
    assert found[0].items == tmp_path / "data/score/items.jsonl"
    assert found[0].verdicts == tmp_path / "data/judge/verdicts.jsonl"
    kinds = {}
    for collection in found:
        rows = [row for file in collection.files for row in files.rows(file.path)]
        kinds[collection.name] = {shape_of(row.data).kind for row in rows}
    assert kinds == {
        "evaluation": {"prediction"},
        "write/drafts": {"draft"},
        "assemble/dataset": {"sample"},
        "build_pairs/pairs": {"pair"},
        "collect/instructions": {"instruction"},
        "plan/plans": {"plan"},
        "rejects": {"reject"},
    }


@pytest.mark.parametrize("folder", ["predict", "score", "judge"])
def test_each_stage_of_an_evaluation_shows_the_whole_evaluation(tmp_path: Path, folder: str) -> None:
    [found] = collections_of(run_folder(tmp_path / "data") / folder)
    assert found.name == "evaluation"
    assert found.items
    assert found.verdicts


def test_a_folder_of_models_is_one_collection_with_the_folders_as_models(tmp_path: Path) -> None:
    for model in ("m-a", "m-b"):
        (tmp_path / model).mkdir()
        (tmp_path / model / "answers.jsonl").write_text('{"instruction": "Write 100 words.", "response": "Done."}\n')
    [found] = collections_of(tmp_path)
    assert {file.model for file in found.files} == {"m-a", "m-b"}


@pytest.mark.parametrize(
    ("row", "kind", "prompt", "text"),
    [
        ({"instruction": "Write.", "response": "<think>hm</think>Text."}, "answer", "Write.", "Text."),
        ({"prompt": "Write.", "output": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}, "answer", "Write.", "AB"),
        ({"doc": {"prompt": "Write."}, "resps": [["One."]]}, "answer", "Write.", "One."),
        (
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes"}]},
            "conversation",
            "Hi",
            "Yes",
        ),
        ({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]}, "conversation", "Hi", "Yes"),
        ({"anything": [1, 2]}, "row", "", '{\n  "anything": [\n    1,\n    2\n  ]\n}'),
    ],
)
def test_rows_of_other_tools_are_read(row: dict[str, Any], kind: str, prompt: str, text: str) -> None:
    shape = shape_of(row)
    assert (shape.kind, shape.prompt, shape.parts[0].text) == (kind, prompt, text)
    assert shape.problem == ""


def test_the_thoughts_of_a_trace_are_folded_beside_the_text_of_its_sample() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}]
    row = {"messages": turns, "asked_words": 1, "written_words": 1, "trace": "<think>\nA plan.\n</think>\n\nYes."}
    shape = shape_of(row)
    assert (shape.kind, shape.parts[0].text, shape.parts[0].thoughts) == ("sample", "Yes.", "A plan.")
    assert shape_of({**row, "trace": None}).parts[0].thoughts == ""


def test_thoughts_are_kept_apart() -> None:
    assert shape_of({"prompt": "p", "response": "<think>hm</think>Text."}).parts[0].thoughts == "hm"


@pytest.mark.parametrize(
    "row", [{"prompt": "p", "response": 7}, {"instruction": {"id": "x"}, "steps": [{"point": "a", "words": "many"}], "paragraphs": ["a"]}]
)
def test_a_row_that_is_not_understood_says_why_and_is_shown(row: dict[str, Any]) -> None:
    shape = shape_of(row)
    assert shape.problem
    assert shape.reason == "unreadable"
    assert shape.parts[0].title == "JSON"


_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    [
        *("item", "model", "response", "instruction", "steps", "paragraphs", "messages", "asked_words"),
        *("written_words", "prompt", "chosen", "rejected", "id", "stage", "reason", "detail"),
        *("rubric", "judge", "replies", "s_l", "asked", "written", "words", "text"),
        *("language", "resps", "doc", "samples", "model_output", "choices", "body", "conversations"),
    ]
)


@given(st.dictionaries(_FIELDS, _JSON, max_size=8))
def test_no_row_stops_the_reader(row: dict[str, Any]) -> None:
    shape = shape_of(row)
    assert isinstance(shape.title, str)
    assert isinstance(shape.whole_text, str)


@pytest.mark.parametrize(("name", "said"), [("missing", "no such file or folder"), ("notes.txt", "not a kind of file that is read")])
def test_a_path_without_rows_is_refused_in_one_line(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(BadInput, match=said):
        collections_of(tmp_path / name)


def test_an_empty_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no rows to read"):
        collections_of(tmp_path)
