"""Parts of a file together contain each row once; a broken row or file is reported as such."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.schema.errors import BadInput, SourceError
from tasks.sources import splits
from tasks.sources.reading import plain, rows_of_file
from tasks.sources.splits import SourceRow, rows, splits_of

TURNS = [{"role": "user", "content": "Write."}, {"role": "assistant", "content": "No."}]


def read(path: Path) -> list[SourceRow]:
    return list(rows_of_file(plain(path)))


def write(path: Path, *lines: bytes | dict[str, Any]) -> Path:
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return path


@settings(max_examples=60)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.integers(1, 60), st.booleans())
def test_parts_of_any_size_hold_every_line_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], part: int, ends: bool
) -> None:
    path = tmp_path_factory.mktemp("parts") / "a.jsonl"
    lines = [json.dumps({"prompt": "x" * size}).encode() if size else b"" for size in sizes]
    path.write_bytes(b"\n".join(lines) + (b"\n" if ends else b"") or b"\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "PART", part)
        numbered, before = [], 0
        for split in splits_of(plain(path)):
            found = list(rows(split))
            numbered += [(before + row.number, len(str(row.data["prompt"]))) for row in found if row.data]
            before += len(found)
    assert numbered == [(number, size) for number, size in enumerate(sizes, 1) if size]


@pytest.mark.parametrize(("groups", "part_rows"), [(7, 3), (100, 20_000), (1, 1), (13, 5)])
def test_parts_of_a_table_hold_every_row_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: int, part_rows: int
) -> None:
    monkeypatch.setattr(splits, "PART_ROWS", part_rows)
    pq.write_table(pa.table({"prompt": [f"{n}" for n in range(50)]}), tmp_path / "a.parquet", row_group_size=groups)
    found = read(tmp_path / "a.parquet")
    assert [(row.number, row.data) for row in found] == [(n + 1, {"prompt": f"{n}"}) for n in range(50)]


def test_of_a_conversation_the_first_turns_are_read_or_all(tmp_path: Path) -> None:
    notes = [{**turn, "country": "x" * 50, "toxic": False} for turn in TURNS * 3]
    pq.write_table(pa.table({"conversation": [notes], "toxic": [True], "model": ["m"]}), tmp_path / "a.parquet")
    [split] = splits_of(plain(tmp_path / "a.parquet"))
    assert [row.data for row in rows(split)] == [{"conversation": TURNS, "toxic": True}]
    assert [row.data for row in rows(split, turns=None)] == [{"conversation": TURNS * 3, "toxic": True}]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"prompt": "caf\xe9"}', "invalid UTF-8 at byte 38 of the file"),
        (b'{"prompt": "\\ud800"}', "a lone surrogate escape (half of a character)"),
        (b'{"prompt": NaN}', "not JSON"),
        (b'["prompt"]', "a JSON list, not an object"),
        (b'{"prompt": "one", "prompt": "two"}', "field prompt is in it twice"),
        (b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON"),
        (b"\x00\x00", "not JSON"),
        ('{"prompt": "x"}'.encode("utf-16-le"), "not JSON"),
        (b'{"prompt": ' + b"9" * 10_000_000 + b"}", "not JSON"),
    ],
    ids=["latin-1", "surrogate", "NaN", "list", "twice", "deep", "NUL", "UTF-16", "long number"],
)
def test_a_line_that_cannot_be_read_says_why_and_the_others_go_on(tmp_path: Path, line: bytes, problem: str) -> None:
    first, broken, last = read(write(tmp_path / "a.jsonl", b'{"prompt": "first"}   ', line, {"prompt": "last"}))
    assert (first, last) == (SourceRow(1, {"prompt": "first"}), SourceRow(3, {"prompt": "last"}))
    assert broken.number == 2
    assert broken.problem
    assert broken.problem.startswith(problem)


def test_a_field_that_an_answer_quotes_does_not_stand_twice(tmp_path: Path) -> None:
    [row] = read(write(tmp_path / "a.jsonl", {"prompt": "x", "notes": {"prompt": 'a "prompt": b'}}))
    assert row.problem is None


def test_a_line_separator_of_unicode_is_text(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.jsonl", {"prompt": "one\u2028two"}, '{"prompt": "x\u2028\u0085y"}'.encode()))[1].number == 2


def test_a_torn_last_line_is_one_bad_row(tmp_path: Path) -> None:
    first, torn = read(write(tmp_path / "a.jsonl", {"prompt": "first"}, b'{"prompt": "la'))
    assert first.data
    assert "torn last line" in (torn.problem or "")


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "one"}\r\n\r\n{"prompt": "two"}\r\n')
    assert read(tmp_path / "a.jsonl") == [SourceRow(1, {"prompt": "one"}), SourceRow(3, {"prompt": "two"})]


def test_invalid_utf8_inside_parquet_is_one_bad_row(tmp_path: Path) -> None:
    array = pa.Array.from_buffers(pa.string(), 3, pa.array([b"fine", b"caf\xe9", b"too"], pa.binary()).buffers())
    pq.write_table(pa.table({"prompt": array}), tmp_path / "a.parquet")
    assert [row.problem for row in read(tmp_path / "a.parquet")] == [None, "invalid UTF-8 at byte 3 of a text", None]


def test_nulls_at_every_depth_of_a_table_are_rows(tmp_path: Path) -> None:
    kind = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
    values = [None, [None], [{"role": None, "content": None}], [{"role": "user", "content": None}], [], TURNS]
    pq.write_table(pa.table({"conversation": pa.array(values, kind)}), tmp_path / "a.parquet")
    assert [row.data and row.data["conversation"] for row in read(tmp_path / "a.parquet")] == values


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", b"", "empty file"),
        ("a.jsonl", b"\n \n", "empty file"),
        ("a.parquet", b"", "not readable as Parquet"),
        ("a.parquet", b"PAR1xx", "not readable"),
        ("a.jsonl", '{"prompt": "x"}'.encode("utf-16"), "UTF-16, not UTF-8; fix: `iconv"),
    ],
)
def test_a_file_with_nothing_to_read_is_one_clear_error(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=problem) as error:
        read(tmp_path / name)
    assert name in str(error.value)


def test_a_table_with_other_columns_or_without_rows_is_one_clear_error(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["x"], "label": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(BadInput, match=r"no column is one of conversation, .*; the columns are text, label; fix: rename one"):
        read(tmp_path / "a.parquet")
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), tmp_path / "b.parquet")
    with pytest.raises(BadInput, match="empty file"):
        read(tmp_path / "b.parquet")


def test_a_table_that_is_damaged_in_its_middle_names_the_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    noise = Random(1)  # of some contents the damage is not seen: Snappy has no checksum
    texts = [f"{n} {noise.randbytes(200).hex()}" for n in range(10_000)]
    pq.write_table(pa.table({"prompt": texts}), path, row_group_size=2_000, use_dictionary=False, compression="snappy")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4_000] = bytes(4_000)
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.parquet:[4-6]\d{3}: not readable as Parquet"):
        read(path)


def test_a_line_beyond_all_measure_is_one_bad_row_and_memory_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "MAX_LINE", 1_000)
    path = write(tmp_path / "a.jsonl", {"prompt": "one"}, {"prompt": "x" * 5_000}, {"prompt": "two"})
    assert [(row.number, row.problem is None) for row in read(path)] == [(1, True), (2, False), (3, True)]


@pytest.mark.parametrize("change", ["gone", "longer"])
def test_a_file_that_vanishes_or_changes_while_it_is_read_is_an_error_and_no_shorter_pool(tmp_path: Path, change: str) -> None:
    path = write(tmp_path / "a.jsonl", *({"prompt": f"{n}"} for n in range(100)))
    reading = rows_of_file(plain(path))
    next(reading)
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b'\n{"prompt": "more"}')
    with pytest.raises(SourceError, match="vanished while it was read" if change == "gone" else "changed while it was read"):
        list(reading)
