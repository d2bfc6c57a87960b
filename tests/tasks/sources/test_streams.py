"""Compressed files and JSON arrays give the same rows as plain lines, in bounded memory; a broken one is reported with its position."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.schema.errors import BadInput
from tasks.sources import splits
from tasks.sources.reading import plain, rows_of_file
from tasks.sources.splits import SourceRow, rows, splits_of
from tests.conftest import ROOT

ROWS: list[dict[str, Any]] = [
    {"id": f"{n}", "conversations": [{"from": "human", "value": f"写 {n} words about “tea”. 😀\n"}, {"from": "gpt", "value": "x" * n}]}
    for n in range(200)
]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def zstandard(content: bytes) -> bytes:
    return bytes(pa.compress(content, "zstd", asbytes=True))


def frames(content: bytes) -> bytes:
    """As `zstd` writes it, of two frames, with the length left out."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def arrow(rows: list[dict[str, Any]]) -> bytes:
    """As `Dataset.save_to_disk` writes it, in several batches."""
    sink, table = pa.BufferOutputStream(), pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=64)
    return bytes(sink.getvalue())


WRITTEN: dict[str, Callable[[], bytes]] = {
    "a.json": lambda: json.dumps(ROWS, ensure_ascii=False, indent=2).encode(),
    "b.json": lambda: b"\xef\xbb\xbf\n" + json.dumps(ROWS).encode() + b"\n",
    "c.json.gz": lambda: gzip.compress(json.dumps(ROWS).encode()),
    "d.jsonl.gz": lambda: gzip.compress(LINES),
    "two members.jsonl.gz": lambda: gzip.compress(LINES[:500]) + gzip.compress(LINES[500:]),
    "e.jsonl.zst": lambda: frames(LINES),
    "f.json.zst": lambda: frames(json.dumps(ROWS).encode()),
    "lines.json": lambda: LINES,
    "g.arrow": lambda: arrow(ROWS),
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("part", [50, 5_000, 2**24])
def test_every_form_gives_the_rows_that_plain_lines_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, part: int) -> None:
    monkeypatch.setattr(splits, "PART", part)
    (tmp_path / name).write_bytes(WRITTEN[name]())
    found = list(rows_of_file(plain(tmp_path / name)))
    assert [(row.number, row.data, row.problem) for row in found] == [(n, row, None) for n, row in enumerate(ROWS, 1)]
    parts = list(splits_of(plain(tmp_path / name)))
    assert sum(split.nbytes for split in parts) == (tmp_path / name).stat().st_size
    assert sum(len(list(rows(split))) for split in parts) == len(ROWS)


def read(path: Path) -> list[SourceRow]:
    return list(rows_of_file(plain(path)))


def test_a_bad_item_is_a_bad_row_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(
        b'[{"prompt": "one"}, "two", {"prompt": "\\ud800"}, {"n": 123456789012345678901234567890, "m": 1.5}, null]'
    )
    assert [(row.number, row.problem) for row in read(tmp_path / "a.json")] == [
        (1, None),
        (2, "a JSON str, not an object"),
        (3, None),
        (4, None),
        (5, "a JSON NoneType, not an object"),
    ]
    assert read(tmp_path / "a.json")[2].data == {"prompt": "?"}  # half of a character, as the parser has it


def test_a_bad_line_of_a_compressed_file_is_named_by_its_line_and_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "PART", 30)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "one"}\n' * 5 + b'{"prompt": "caf\xe9"}\n{"prompt": "two"}\n'))
    found = [(row.number, row.problem) for row in read(tmp_path / "a.jsonl.gz")]
    assert found == [*((n, None) for n in range(1, 6)), (6, "invalid UTF-8 at byte 105 of the file"), (7, None)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b"[]", r"a\.json: empty file"),
        ("a.arrow", b"", r"a\.arrow: (?:empty file|not readable as an Arrow stream)"),
        ("a.arrow", arrow(ROWS)[:-2000], r"a\.arrow: not readable as an Arrow stream"),
        ("a.arrow", LINES, r"a\.arrow: not readable as an Arrow stream"),
        ("a.json", b'[{"prompt": "one"}, {"prompt": "tw', r"a\.json:2: not JSON"),
        ("a.json", b'[{"prompt": "one"} {"prompt": "two"}]', r"a\.json:\d: not JSON"),
        ("a.json", b'[{"prompt": "one"}, {"prompt": NaN}]', r"a\.json:2: not JSON"),
        ("a.json", b'[{"prompt": "one"}, {"prompt": "caf\xe9"}]', r"a\.json:\d: not JSON"),
        ("a.jsonl.gz", LINES, r"a\.jsonl\.gz: not readable as gzip: "),
        ("a.jsonl.gz", gzip.compress(LINES)[:-30], r"a\.jsonl\.gz: not readable as gzip: "),
        ("a.jsonl.gz", gzip.compress(b""), r"a\.jsonl\.gz: empty file"),
        ("a.jsonl.zst", LINES, r"a\.jsonl\.zst: not readable as Zstandard: "),
        ("a.jsonl.zst", frames(LINES)[:-30], r"a\.jsonl\.zst: not readable as Zstandard: "),
    ],
)
def test_a_broken_file_is_one_error_with_its_name(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=said) as error:
        read(tmp_path / name)
    assert "\n" not in str(error.value)
    assert "; " in str(error.value)


def test_a_giant_line_in_a_small_compressed_file_is_one_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "MAX_LINE", 2**20)
    long = b'{"prompt": "' + b"x" * (5 * 2**20) + b'"}\n'
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "one"}\n' + long + b'{"prompt": "two"}\n'))
    assert [(row.number, row.problem) for row in read(tmp_path / "a.jsonl.gz")] == [(1, None), (2, "line of more than 1 MiB"), (3, None)]
    (tmp_path / "a.json").write_bytes(b'[{"prompt": "one"}, ' + long.strip() + b"]")
    with pytest.raises(BadInput, match=r"a\.json:2: an item of more than 1 MiB"):
        read(tmp_path / "a.json")


LARGE = """
import sys
from pathlib import Path
from benchmarks.processes import most_memory
from tasks.sources.reading import plain, rows_of_file
next(rows_of_file(plain(Path(sys.argv[1]))))
before = most_memory()
count = sum(1 for _ in rows_of_file(plain(Path(sys.argv[1]))))
print(count, (most_memory() - before) // 2**20)
"""


@pytest.mark.parametrize("name", ["a.json", "a.jsonl.gz", "a.jsonl.zst"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    text = "The harbour was quiet and the boats lay still. " * 200
    items, size = [json.dumps({"prompt": f"{number} {text}"}) for number in range(10_000)], 0
    content = f"[{','.join(items)}]" if name == "a.json" else "\n".join(items)
    size = len(content) // 2**20
    packed = {
        "a.json": content.encode,
        "a.jsonl.gz": lambda: gzip.compress(content.encode(), 1),
        "a.jsonl.zst": lambda: frames(content.encode()),
    }
    (tmp_path / name).write_bytes(packed[name]())
    done = subprocess.run([sys.executable, "-c", LARGE, str(tmp_path / name)], cwd=ROOT, capture_output=True, text=True, check=True)
    count, mebibytes = map(int, done.stdout.split())
    assert count == len(items)
    assert size > 85
    assert mebibytes < 50
