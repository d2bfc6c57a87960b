"""Read external data as conversations to measure: a JSONL, JSON or Parquet file, or a folder as `datasets` writes and reads it.

The columns of the conversation are found by their names (tasks/sources/adapters.py) or named by the caller. A row that is no
conversation carries its problem, and reading continues. In a folder every data file is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.contracts.measures import MeasuredRow
from tasks.schema.errors import BadInput
from tasks.schema.params import Source
from tasks.schema.records import Message
from tasks.sources import reading, splits
from tasks.sources.adapters import ANSWERS, TEXTS, TURNS, messages_of
from tasks.sources.files import in_folder, local_file
from tasks.sources.patterns import READABLE
from tasks.sources.turns import Misfit, is_null, kind, normal, plain
from tasks.text.length_requests import parse_length_request
from tasks.text.traces import strips_to

if TYPE_CHECKING:
    import pyarrow as pa

IDS = ("id", "uuid", "conversation_id", "conversation_hash", "idx", "index")
ASKED = "asked_words"  # the pipeline's own column; other columns such as `length` may be tokens, or the written length


class Columns(NamedTuple):
    """Names of the columns of a conversation. An empty name: the column is found by its usual names."""

    messages: str = ""
    prompt: str = ""
    response: str = ""
    length: str = ""


class _Found(NamedTuple):
    file: str
    number: int  # from 1
    data: Mapping[str, object] | None
    problem: str | None


def read(path: Path, columns: Columns) -> Iterator[MeasuredRow]:
    """Every row in the file or folder `path`.

    Raises BadInput if it is missing, empty, of an unknown format, or has no columns for a conversation.
    """
    known = False
    for place, found in enumerate(_rows(path), 1):
        if found.data is not None and not known:
            _check_columns(found, path, columns)
            known = True
        yield _row(place, found, columns)


def files_of(path: Path) -> list[Path]:
    """`path` itself, or all data files of a folder, of every format and split. Raises BadInput if there is none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BadInput(path, "no such file or folder", fix="check the path")
    if not (found := in_folder(path)):
        raise BadInput(path, "no data file in this folder", fix=f"put a file there that ends in {', '.join(READABLE)}")
    return found


def _rows(path: Path) -> Iterator[_Found]:
    for file in files_of(path):
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        if path.is_file() and not file.name.endswith(READABLE):
            raise BadInput(
                file, "not a kind of file that is read", fix=f"give a file that ends in {', '.join(READABLE)}, or a folder of them"
            )
        for row in _whole_rows(file, reading.plain(file).entry):
            yield _Found(name, row.number, row.data, row.problem)


def _whole_rows(file: Path, entry: Source) -> Iterator[splits.SourceRow]:
    """Rows with all columns, because the caller may name any column."""
    if file.suffix == ".parquet":
        yield from _parquet(file)
    else:
        yield from reading.rows_of_file(local_file(file, entry, file.name))


def _parquet(file: Path) -> Iterator[splits.SourceRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            if not table.metadata.num_rows:
                raise BadInput(file, "empty file", fix="add at least one row")
            yield from _numbered(table.iter_batches(batch_size=64))
    except (pa.ArrowException, OSError) as error:
        raise splits.damaged(file, error) from None


def _numbered(batches: "Iterator[pa.RecordBatch]") -> Iterator[splits.SourceRow]:
    number = 0
    for batch in batches:
        for place in range(batch.num_rows):
            number += 1
            try:
                yield splits.SourceRow(number, batch.slice(place, 1).to_pylist()[0])
            except UnicodeDecodeError as error:
                yield splits.SourceRow(number, None, f"invalid UTF-8 at byte {error.start} of a text")


def _check_columns(found: _Found, path: Path, columns: Columns) -> None:
    """Raises BadInput if the first row lacks a named column or has no columns for a conversation. Otherwise every row would fail alike."""
    names = list(found.data or {})
    asked = [name for name in columns if name]
    if missing := [name for name in asked if name not in names]:
        problem = f"no column {missing[0]}; the columns are {', '.join(names)}"
        raise BadInput(path, problem, field=missing[0], fix="check the column name in the option")
    known = set(map(normal, names))
    texts = columns.prompt or not known.isdisjoint(TEXTS)
    answers = columns.response or not known.isdisjoint(ANSWERS)
    if not (columns.messages or not known.isdisjoint(TURNS) or (texts and answers)):
        fix = "name the columns: --prompt and --response, or --messages"
        raise BadInput(path, f"no columns with a conversation; the columns are {', '.join(names)}", fix=fix)


def _row(place: int, found: _Found, columns: Columns) -> MeasuredRow:
    source = f"{found.file}:{found.number}"
    data = found.data or {}
    try:
        if found.data is None:
            raise Misfit(found.problem)
        messages = _messages(data, columns)
        if not any(message.role == "assistant" for message in messages):
            raise Misfit("no turn of the assistant")
        asked = _asked(data, columns, messages)
    except Misfit as problem:
        return MeasuredRow(place, _id(data, source), source, (), "", None, problem=str(problem))
    origin = data.get("source")
    row = MeasuredRow(place, _id(data, source), source, messages, _language(data), asked, trace=_trace(data, messages))
    return row._replace(origin=origin) if isinstance(origin, str) else row


def _messages(data: Mapping[str, object], columns: Columns) -> Sequence[Message]:
    """The row's conversation, from the named columns if there are any, together with their companions (system, history, tools, …)."""
    named = {role: column for role in ("messages", "prompt", "response") if (column := getattr(columns, role))}
    adapter = "messages" if columns.messages else "prompt" if columns.prompt else "auto"
    return messages_of(data, adapter, named=named)


def _trace(data: Mapping[str, object], messages: Sequence[Message]) -> str | None:
    """The trace of a row of the project's own datasets; None without one. Another tool's column of that name is no trace of the answer."""
    value = data.get("trace")
    return value if isinstance(value, str) and messages[-1].role == "assistant" and strips_to(value, messages[-1].content) else None


def _id(data: Mapping[str, object], source: str) -> str:
    value = next((data[name] for name in IDS if isinstance(data.get(name), str | int)), None)
    return source if value is None else str(value)


def _language(data: Mapping[str, object]) -> str:
    value = data.get("language")
    return value if value in ("en", "zh") else ""


def _asked(data: Mapping[str, object], columns: Columns, messages: Sequence[Message]) -> int | None:
    """The requested length in words: from the caller's column, else from `asked_words`, else parsed from the prompt; None without one."""
    name = columns.length or ASKED
    value = plain(data.get(name))
    if not is_null(value):
        words = int(value) if isinstance(value, float) and value.is_integer() else value  # a table's whole numbers beside nulls
        if isinstance(words, bool) or not isinstance(words, int) or words <= 0:
            raise Misfit(f"{name}: a positive whole number is wanted, got {kind(value)}"[:120])
        return words
    requests = [message.content for message in messages if message.role == "user"]
    return parse_length_request(requests[-1]).target if len(requests) == 1 else None
