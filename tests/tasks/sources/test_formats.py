"""The same row gives the same result from JSON Lines and from Parquet, for the pool and for whole conversations."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.sources.adapters import messages_of, raw_prompt_of
from tasks.sources.reading import plain, rows_of_file
from tasks.sources.splits import SourceRow, rows, splits_of
from tasks.sources.turns import Misfit

TURN = st.fixed_dictionaries(
    {
        "role": st.sampled_from(("user", "assistant", "system", "Human", "GPT", "tool", "narrator", None)),
        "content": st.sampled_from(("Write a poem.", "Roses.", "", None)),
        "images": st.sampled_from((None, [], ["a.png"])),
    }
)
ROW = st.fixed_dictionaries(
    {
        "messages": st.lists(TURN, max_size=6),
        "system": st.sampled_from((None, "", "Rhyme.")),
        "history": st.sampled_from((None, [], [["Hello?", "Hello."]])),
        "context": st.sampled_from((None, "nan", "It rained.")),
        "tools": st.sampled_from((None, "[]", "[{}]")),
    }
)


def outcome(read: Any, row: SourceRow) -> Any:
    try:
        return read(row.data)
    except Misfit as problem:
        return str(problem)


def for_pool(path: Path) -> list[Any]:
    return [outcome(raw_prompt_of, row) for split in splits_of(plain(path)) for row in rows(split)]


def whole(path: Path) -> list[Any]:
    return [outcome(messages_of, row) for row in rows_of_file(plain(path))]


def both(folder: Path, found: list[dict[str, Any]], schema: pa.Schema | None = None) -> tuple[Path, Path]:
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    pq.write_table(pa.Table.from_pylist(found, schema=schema), folder / "a.parquet")
    return folder / "a.jsonl", folder / "a.parquet"


TURNS = pa.list_(pa.struct({"role": pa.string(), "content": pa.string(), "images": pa.list_(pa.string())}))
SCHEMA = pa.schema(
    {"messages": TURNS, "system": pa.string(), "history": pa.list_(pa.list_(pa.string())), "context": pa.string(), "tools": pa.string()}
)


@settings(max_examples=60)
@given(st.lists(ROW, min_size=1, max_size=8))
def test_any_conversation_is_read_the_same_from_lines_and_from_a_table(
    tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, Any]]
) -> None:
    lines, table = both(tmp_path_factory.mktemp("formats"), found, SCHEMA)
    assert for_pool(table) == for_pool(lines)
    assert whole(table) == whole(lines)


def test_a_request_that_comes_late_is_found_in_a_table_too(tmp_path: Path) -> None:
    late = [{"from": "system", "value": "Rhyme."}, {"from": "gpt", "value": "Hello!"}, {"from": "human", "value": "Write a poem."}]
    lines, table = both(tmp_path, [{"conversations": late}, {"conversations": late[1:]}, {"conversations": late[2:]}])
    assert [ask.text for ask in for_pool(table)] == ["Write a poem."] * 3
    assert for_pool(table) == for_pool(lines)


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Write.", "input": "It rained.", "output": "Rain."},
        {"data": ["Write.", "Rain."]},
        {"conversation": [["Write.", "Rain."]]},
        {"conversation": [{"input": "Write.", "output": "Rain.", "system": "Rhyme."}]},
        {"messages": '[{"role": "user", "content": "Write."}, {"role": "assistant", "content": "Rain."}]'},
        {"prompt": [{"role": "user", "content": [{"type": "text", "text": "Write."}]}], "response": "Rain."},
        {"Prompt": "Write.", "Completion": "Rain."},
        {"messages": {"role": ["user", "assistant"], "content": ["Write.", "Rain."]}},
    ],
    ids=str,
)
def test_rows_of_every_shape_are_read_the_same_from_lines_and_from_a_table(tmp_path: Path, row: dict[str, Any]) -> None:
    lines, table = both(tmp_path, [row])
    assert for_pool(table) == for_pool(lines)
    assert whole(table) == whole(lines)
    assert [message.content for message in whole(table)[0]][-1] == "Rain."


def test_turns_as_maps_and_long_lists_are_read(tmp_path: Path) -> None:
    turns = [
        [("role", "system"), ("content", "Rhyme.")],
        [("role", "assistant"), ("content", "Hi.")],
        [("role", "user"), ("content", "Go.")],
    ]
    kind = pa.large_list(pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table({"messages": pa.array([turns], kind)}), tmp_path / "a.parquet")
    assert [ask.text for ask in for_pool(tmp_path / "a.parquet")] == ["Go."]
