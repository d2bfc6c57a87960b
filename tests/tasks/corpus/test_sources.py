import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.corpus.filters import candidate, fault
from tasks.corpus.sources import Ask, Malformed, read
from tasks.schema.errors import BadInput
from tasks.schema.params import Bounds, load

REAL = Path("../shared/data/instructions")


def write(path: Path, *lines: bytes | str | dict[str, Any]) -> Path:
    encoded = [line if isinstance(line, bytes) else line.encode() if isinstance(line, str) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(encoded))
    return path


TURNS = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Write."}, {"role": "assistant", "content": "No."}]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"conversation": TURNS, "toxic": True, "redacted": False}, Ask("Write.", "a.jsonl:1", toxic=True)),
        ({"conversation": TURNS, "toxic": False, "redacted": True}, Ask("Write.", "a.jsonl:1", redacted=True)),
        ({"conversation": TURNS, "openai_moderation": [{"flagged": True}]}, Ask("Write.", "a.jsonl:1", toxic=True)),
        ({"conversation": []}, Ask("", "a.jsonl:1")),
        ({"conversation": [{"role": "user", "content": None}]}, Ask("", "a.jsonl:1")),
        ({"conversations": [{"from": "human", "value": "Write."}]}, Ask("Write.", "a.jsonl:1")),
        ({"messages": TURNS}, Ask("Write.", "a.jsonl:1")),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Write."}]}]}, Ask("Write.", "a.jsonl:1")),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Write."}, {"type": "image_url"}]}]},
            Ask("Write.", "a.jsonl:1", attachment=True),
        ),
        ({"prompt": "Write."}, Ask("Write.", "a.jsonl:1")),
        ({"prompt": TURNS}, Ask("Write.", "a.jsonl:1")),
        ({"instruction": "Write.", "input": "More."}, Ask("Write.\n\nMore.", "a.jsonl:1")),
        ({"instruction": "Write.", "input": ""}, Ask("Write.", "a.jsonl:1")),
        ({"query": "Write."}, Ask("Write.", "a.jsonl:1")),
        ({"task": "Wr\u2028ite."}, Ask("Wr\u2028ite.", "a.jsonl:1")),
    ],
)
def test_rows_of_every_known_shape_become_the_first_ask_of_the_user(tmp_path: Path, row: dict[str, Any], expected: Ask) -> None:
    assert list(read(write(tmp_path / "a.jsonl", row))) == [expected]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"prompt": "caf\xe9"}', "invalid UTF-8 at byte 38 of the file"),
        (b'{"prompt": "\\ud800"}', "a lone surrogate escape (half of a character)"),
        (b'{"prompt": NaN}', "not JSON"),
        (b'["prompt"]', "a JSON list, not an object"),
        (b'{"id": 1}', "missing field: none of conversation, messages"),
        (b'{"prompt": 7}', "prompt: a text is wanted, got a number (7)"),
        (b'{"conversation": "hi"}', "conversation: a list of turns is wanted, got a text ('hi')"),
        (b'{"conversation": [3]}', "conversation.0: an object is wanted, got a number (3)"),
        (b'{"conversation": [{"content": "x"}]}', "conversation.0.role: missing field"),
        (b'{"conversation": [{"role": "user"}]}', "conversation.0.content: missing field"),
        (b'{"conversation": [{"role": "user", "content": {}}]}', "conversation.0.content: a text is wanted, got an object"),
        (b'{"prompt": "x", "toxic": "yes"}', "toxic: true or false is wanted, got a text ('yes')"),
    ],
)
def test_a_row_that_cannot_be_read_says_why_and_the_others_go_on(tmp_path: Path, line: bytes, problem: str) -> None:
    first, broken, last = read(write(tmp_path / "a.jsonl", b'{"prompt": "first"}   ', line, {"prompt": "last"}))
    assert (first, last) == (Ask("first", "a.jsonl:1"), Ask("last", "a.jsonl:3"))
    assert isinstance(broken, Malformed)
    assert broken.source == "a.jsonl:2"
    assert broken.problem.startswith(problem)


def test_a_torn_last_line_is_one_malformed_row(tmp_path: Path) -> None:
    first, torn = read(write(tmp_path / "a.jsonl", {"prompt": "first"}, b'{"prompt": "la'))
    assert isinstance(first, Ask)
    assert isinstance(torn, Malformed)
    assert "torn last line" in torn.problem


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "one"}\r\n\r\n{"prompt": "two"}\r\n')
    assert list(read(path)) == [Ask("one", "a.jsonl:1"), Ask("two", "a.jsonl:3")]


def test_a_folder_is_read_by_name_jsonl_and_parquet_together(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", {"prompt": "two"})
    (tmp_path / "sub").mkdir()
    pd.DataFrame({"conversation": [TURNS, TURNS], "toxic": [True, False]}).to_parquet(tmp_path / "sub" / "a.parquet")
    (tmp_path / "README.md").write_text("not data")
    assert list(read(tmp_path)) == [
        Ask("two", "b.jsonl:1"),
        Ask("Write.", "sub/a.parquet:1", toxic=True),
        Ask("Write.", "sub/a.parquet:2"),
    ]


def test_invalid_utf8_inside_parquet_is_one_malformed_row(tmp_path: Path) -> None:
    array = pa.Array.from_buffers(pa.string(), 3, pa.array([b"fine", b"caf\xe9", b"too"], pa.binary()).buffers())
    pq.write_table(pa.table({"prompt": array}), tmp_path / "a.parquet")
    kinds = [type(row).__name__ for row in read(tmp_path / "a.parquet")]
    assert kinds == ["Ask", "Malformed", "Ask"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", b"", "empty file"),
        ("a.jsonl", b"\n \n", "empty file"),
        ("a.parquet", b"", "not readable as Parquet"),
        ("a.parquet", b"PAR1xx", "not readable"),
    ],
)
def test_a_file_with_nothing_to_read_is_one_clear_error(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=problem) as error:
        list(read(tmp_path / name))
    assert name in str(error.value)


def test_a_missing_path_an_empty_folder_and_an_empty_table_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file or folder"):
        list(read(tmp_path / "none.jsonl"))
    with pytest.raises(BadInput, match="no file to read"):
        list(read(tmp_path))
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), tmp_path / "a.parquet")
    with pytest.raises(BadInput, match="empty file"):
        list(read(tmp_path / "a.parquet"))


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/instructions")
def test_real_pools_are_read_whole_and_set_aside_for_sane_reasons() -> None:
    collect = load(Path("profiles/rehearsal.yaml")).collect.model_copy(update={"words": Bounds(min=500, max=20_000)})
    for file in sorted(REAL.glob("*.jsonl")):
        rows = list(read(file))
        assert not [row for row in rows if isinstance(row, Malformed)]
        faults = Counter(found[0].value if (found := fault(candidate(row), collect)) else "fit" for row in rows if isinstance(row, Ask))
        assert faults["fit"] >= 0.8 * len(rows), (file.name, faults)
        assert sum(faults.values()) == len(rows)
