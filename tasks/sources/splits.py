"""Split a file into parts of a few megabytes. Each part can be read by another process or machine in bounded memory.

A part of a JSONL file is a range of bytes with the lines that begin in it. A part of a Parquet file is a range of rows of one row
group. Rows are numbered from 1 within a part; the caller adds the counts of earlier parts. If a file cannot be read from the middle
(compressed, or a JSON array), its parts contain the lines themselves.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks import store
from tasks.schema.errors import BadInput
from tasks.sources.adapters import ANSWERS, BESIDE, FIELDS, OF_ADAPTER
from tasks.sources.files import SourceFile, check, opened
from tasks.sources.streams import head, is_array, packed, pieces
from tasks.sources.turns import TURN_FIELDS, Misfit, holds_request, normal

_READ = frozenset((*FIELDS, *ANSWERS, *BESIDE))  # all columns that are read

PART = 16 * 2**20  # bytes of a JSONL file, or of the decoded columns of a Parquet file
PART_ROWS = 20_000
MAX_LINE = 16 * 2**20  # bytes; a longer line is not a chat
BATCH = 8 * 2**20  # bytes of decoded Parquet that are in memory at once
TURNS_READ = 2  # turns read per conversation: a system prompt and the user's prompt; all turns if the prompt comes later
_LEVELS = frozenset(("list", "element", "item", "array", "bag", "array_element"))  # inner levels in the path of a Parquet leaf
_MAPS = frozenset(("key_value", "entries"))


class FileSplit(NamedTuple):
    """A part of a file."""

    file: SourceFile
    nbytes: int  # approximate bytes of the file in this part
    start: int
    stop: int
    group: int | None = None  # Parquet: the row group; `start` and `stop` are rows in it. None: they are bytes of a JSONL file
    before: int = 0  # Parquet: rows of the file before this part
    held: bytes | None = None  # compressed file or array: the lines; `start` and `stop` are bytes in the uncompressed lines


class SourceRow(NamedTuple):
    """A row, a blank line, or an unreadable row with its problem."""

    number: int  # line or row, from 1 within the part
    data: Mapping[str, object] | None
    problem: str | None = None  # why there is no data; None without data: a blank line

    def content(self) -> Mapping[str, object]:
        """The data. Raises Misfit with the problem if there is none."""
        if self.data is None:
            raise Misfit(self.problem)
        return self.data


def splits_of(file: SourceFile) -> Iterator[FileSplit]:
    """The parts of a file in order. Raises BadInput for an empty or unreadable file."""
    if not file.is_parquet:
        yield from _held(file) if _is_streamed(file) else _spanned(file)
        return
    with _table(file) as table:
        whole, before = table.metadata.num_rows, 0
        if not whole:
            raise BadInput(file.place, "empty file", fix="add at least one row")
        columns = _columns(table, file, whole=False)
        for group in range(table.metadata.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            step = max(1, min(PART_ROWS, PART // _row_bytes(table, group, columns)))
            for start in range(0, rows, step):
                stop = min(start + step, rows)
                yield FileSplit(file, file.nbytes * (stop - start) // whole, start, stop, group, before + start)
            before += rows


def rows(split: FileSplit, *, turns: int | None = TURNS_READ) -> Iterator[SourceRow]:
    """The rows of a part. `turns`: turns that are read first from a Parquet conversation, enough for the prompt; None: all turns and
    the answer columns.

    An unreadable row has a `problem`, and reading continues. Raises BadInput if a Parquet file is damaged; SourceError if the file
    changes or disappears during reading.
    """
    yield from _lines(split) if split.group is None else _table_rows(split, turns)
    check(split.file)


def _spanned(file: SourceFile) -> Iterator[FileSplit]:
    for start in range(0, file.nbytes, PART):
        stop = min(start + PART, file.nbytes)
        yield FileSplit(file, stop - start, start, stop)


def _held(file: SourceFile) -> Iterator[FileSplit]:
    found = False
    with opened(file) as stream:
        for piece in pieces(stream, file.place, size=PART, longest=MAX_LINE):
            found = True
            yield FileSplit(file, piece.nbytes, piece.start, piece.start + len(piece.lines), held=piece.lines)
    if not found:
        raise BadInput(file.place, "empty file", fix="add at least one row")


def _is_streamed(file: SourceFile) -> bool:
    """Whether the file must be read from the start. Raises BadInput for an empty file and for UTF-16."""
    with opened(file) as stream:
        start = head(stream, file.place)
    if not start:
        raise BadInput(file.place, "empty file", fix="add at least one JSON object, one per line")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadInput(file.place, "UTF-16, not UTF-8", fix="`iconv -f UTF-16 -t UTF-8` converts it")
    return packed(file.place) or is_array(file.place, start)


def _lines(split: FileSplit) -> Iterator[SourceRow]:
    with _opened(split) as stream:
        base = 0 if split.held is None else split.start
        for number, (at, line) in enumerate(_spans(stream, split.start - base, split.stop - base), 1):
            start = base + at
            if line is None:
                yield SourceRow(number, None, f"line of more than {MAX_LINE // 2**20} MiB")
            elif not (line := line if start else line.removeprefix(store.BOM)).strip():
                yield SourceRow(number, None)
            else:
                found = store.row_of(number, line, start)
                twice = _twice(line, found.data) if found.data is not None else None
                yield SourceRow(number, None if twice else found.data, f"field {twice} is in it twice" if twice else found.problem)


def _opened(split: FileSplit) -> BinaryIO:
    return opened(split.file) if split.held is None else io.BytesIO(split.held)


def _spans(stream: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, bytes | None]]:
    """Each line that begins in the range, with the position of its first byte; None for a line longer than MAX_LINE."""
    at = start
    if start:  # a line that began earlier belongs to the previous part
        at = _past_line(stream, start - 1, stop)
    while at < stop and (line := stream.readline(MAX_LINE + 1)):
        begin, at = at, at + len(line)
        yield begin, line if len(line) <= MAX_LINE else None
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            at = _past_line(stream, at, stop)


def _past_line(stream: BinaryIO, at: int, stop: int) -> int:
    """The position of the next line, or `stop` if no line begins before it."""
    stream.seek(at)
    while at < stop and (piece := stream.readline(min(2**20, stop - at))):
        at += len(piece)
        if piece.endswith(b"\n"):
            return at
    return stop


def _twice(line: bytes, data: Mapping[str, object]) -> str | None:
    """A field that is read and occurs twice in the object, which is ambiguous; None if there is none."""
    for field in data:
        if normal(field) in _READ and line.count(b'"%s"' % field.encode()) > 1:
            import json

            names = json.loads(line, object_pairs_hook=lambda pairs: [name for name, _ in pairs])
            if names.count(field) > 1:
                return field
    return None


def damaged(place: Path | str, error: Exception, *, line: int | None = None) -> BadInput:
    """The error for a Parquet file that cannot be read. `line` is the row, from 1, if it is known."""
    problem = f"not readable as Parquet: {str(error).splitlines()[0]}"
    return BadInput(place, problem, line=line, fix="fetch or write the file again")


def _table(file: SourceFile) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(opened(file), buffer_size=2**20, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise damaged(file.place, error) from None


def _columns(table: pq.ParquetFile, file: SourceFile, *, whole: bool) -> list[str]:
    """The Parquet leaves to read: roles and contents of conversations, not other fields of the turns. `whole`: also answers."""
    leaves = [table.schema.column(place).path for place in range(len(table.schema))]
    fields = OF_ADAPTER[file.entry.adapter]
    found = [leaf for leaf in leaves if _is_read(leaf.split("."), fields, whole=whole)]
    if not any(normal(leaf.split(".")[0]) in fields for leaf in found):
        names = ", ".join(table.schema_arrow.names[:8])
        problem = f"no column is one of {', '.join(fields)}; the columns are {names}"
        raise BadInput(file.place, problem, fix="rename one, or use another adapter")
    return found


def _is_read(path: list[str], fields: tuple[str, ...], *, whole: bool) -> bool:
    column = normal(path[0])
    if column == "openai_moderation":
        return path[-1] == "flagged"
    if column not in fields:
        return column in BESIDE or (whole and column in ANSWERS)
    named = [step for step in path[1:] if step not in _LEVELS]  # the last part of conversation.list.element.content
    return not named or named[0] in _MAPS or normal(named[0]) in TURN_FIELDS


def _row_bytes(table: pq.ParquetFile, group: int, columns: list[str]) -> int:
    """Approximate bytes of the decoded columns of a row."""
    facts = table.metadata.row_group(group)
    chunks = (facts.column(place) for place in range(facts.num_columns))
    return max(1, sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in columns) // max(1, facts.num_rows))


def _table_rows(split: FileSplit, turns: int | None) -> Iterator[SourceRow]:
    assert split.group is not None
    with _table(split.file) as table:
        columns = _columns(table, split.file, whole=turns is None)
        size = max(1, min(1024, BATCH // _row_bytes(table, split.group, columns)))
        at = 0
        try:
            for batch in table.iter_batches(batch_size=size, row_groups=[split.group], columns=columns, use_threads=False):
                first, at = at, at + batch.num_rows
                if at > split.start:
                    wanted = batch.slice(max(0, split.start - first), min(at, split.stop) - max(first, split.start))
                    yield from _numbered(wanted, turns, max(first, split.start) - split.start)
                if at >= split.stop:
                    return
        except (pa.ArrowException, OSError) as error:
            raise damaged(split.file.place, error, line=split.before - split.start + at + 1) from None


def _numbered(batch: pa.RecordBatch, turns: int | None, before: int) -> Iterator[SourceRow]:
    lists = [] if turns is None else [name for name, column in zip(batch.schema.names, batch.columns, strict=True) if _is_list(column)]
    short = batch if not lists else _shortened(batch, turns or 0, lists)
    try:
        read = [data if _suffices(data, lists, turns or 0) else _one(batch, place) for place, data in enumerate(short.to_pylist())]
        yield from (SourceRow(number, data) for number, data in enumerate(read, before + 1))
    except UnicodeDecodeError:  # at least one text is not UTF-8: read row by row
        for place in range(batch.num_rows):
            try:
                yield SourceRow(before + place + 1, _one(batch, place))
            except UnicodeDecodeError as error:
                yield SourceRow(before + place + 1, None, f"invalid UTF-8 at byte {error.start} of a text")


def _one(batch: pa.RecordBatch, place: int) -> dict[str, object]:
    [row] = batch.slice(place, 1).to_pylist()
    return dict(row)


def _is_list(column: pa.Array) -> bool:
    return pa.types.is_list(column.type) or pa.types.is_large_list(column.type)


def _shortened(batch: pa.RecordBatch, turns: int, lists: list[str]) -> pa.RecordBatch:
    names = batch.schema.names
    columns = [pc.list_slice(column, 0, turns) if name in lists else column for name, column in zip(names, batch.columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=names)


def _suffices(data: Mapping[str, object], lists: list[str], turns: int) -> bool:
    """Whether each conversation that may have been cut still contains the user's prompt."""
    cut = (value for name in lists if normal(name) in FIELDS and isinstance(value := data[name], list) and 0 < len(value) == turns)
    return all(map(holds_request, cut))
