"""Access to the rows of a data file one by one, without loading the file: JSON Lines by byte offset, Parquet by row number.

Other formats that are read (JSON arrays, compressed files, Arrow) are converted to JSON Lines in the cache folder first.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from tasks import store

if TYPE_CHECKING:
    import pyarrow.parquet as pq

LINES = (".jsonl", ".ndjson")
BATCH = 256  # rows of a Parquet file that are decoded together
BATCHES = 8  # decoded batches that are kept in memory


class Found(NamedTuple):
    """One row: its place (byte offset or row number), its line from 1, and its data or the problem with it."""

    place: int
    line: int
    data: Mapping[str, Any] | None
    problem: str = ""


def is_lines(path: Path) -> bool:
    return path.name.endswith(LINES)


def converted(path: Path, cache: Path) -> Path:
    """The file itself, or a copy as JSON Lines in `cache` if its rows have no address: rows with a problem become `{"problem": …}`."""
    if is_lines(path) or path.suffix == ".parquet":
        return path
    status = path.stat()
    named = hashlib.sha256(f"{path.absolute()}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()[:16]
    copy = cache / f"{named}.jsonl"
    if not copy.is_file():
        from tasks.sources import reading

        with store.replacing(copy) as scratch, scratch.open("wb") as out:
            for row in reading.rows_of_file(reading.plain(path)):
                data = row.data if row.data is not None else {"problem": row.problem}
                out.write(orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY) + b"\n")
    return copy


def places(path: Path) -> Iterator[tuple[int, int]]:
    """(place, line) of every row, without parsing any."""
    if path.suffix == ".parquet":
        yield from ((row, row + 1) for row in range(_table_rows(path)))
        return
    with path.open("rb") as file:
        start = 0
        for number, line in enumerate(iter(lambda: file.readline(store.MAX_LINE + 1), b""), 1):
            if len(line) > store.MAX_LINE or (line.removeprefix(store.BOM) if number == 1 else line).strip():
                yield start, number
            start += len(line)
            while len(line) > store.MAX_LINE and not line.endswith(b"\n"):  # the rest of a line that is too long
                line = file.readline(store.MAX_LINE + 1)
                start += len(line)


def rows(path: Path) -> Iterator[Found]:
    """Every row, parsed, in the order of `places`. Memory holds one batch."""
    if path.suffix == ".parquet":
        with _table(path) as table:
            number = 0
            for batch in table.iter_batches(batch_size=BATCH):
                for data in batch.to_pylist():
                    yield Found(number, number + 1, data)
                    number += 1
        return
    if path.stat().st_size:
        for row in store.rows(path):
            yield Found(row.start, row.line, row.data, row.problem or "")


def row_at(path: Path, place: int, line: int) -> Found:
    """The row at a place, read again from the file."""
    if path.suffix == ".parquet":
        status = path.stat()
        batch = _batch(path, status.st_mtime_ns, place // BATCH)
        return Found(place, line, batch[place % BATCH])
    found = store.row_at(path, place, line)
    return Found(place, line, found.data, found.problem or "")


@contextmanager
def _table(path: Path) -> "Iterator[pq.ParquetFile]":
    """An open Parquet file. Raises BadInput if it is damaged, also while it is read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tasks.sources.splits import damaged

    try:
        with pq.ParquetFile(path) as table:
            yield table
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from None


def _table_rows(path: Path) -> int:
    with _table(path) as table:
        return int(table.metadata.num_rows)


@lru_cache(maxsize=BATCHES)
def _batch(path: Path, changed: int, number: int) -> list[dict[str, Any]]:
    """Batch `number` of `BATCH` rows. `changed`: the file's modification time, so that a new file is read again. Skips whole row groups."""
    first, last = number * BATCH, (number + 1) * BATCH
    found: list[dict[str, Any]] = []
    with _table(path) as table:
        start = 0
        for group in range(table.metadata.num_row_groups):
            rows_here = table.metadata.row_group(group).num_rows
            if start < last and start + rows_here > first:
                at = start
                for batch in table.iter_batches(batch_size=BATCH, row_groups=[group]):
                    if at < last and at + batch.num_rows > first:
                        low, high = max(first - at, 0), min(last - at, batch.num_rows)
                        found += batch.slice(low, high - low).to_pylist()
                    at += batch.num_rows
                    if at >= last:
                        break
            start += rows_here
    return found
