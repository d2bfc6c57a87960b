"""Raw rows of any public shape: a JSONL or Parquet file, or a folder of them, as a stream of asks.

Recognised are WildChat's and LMSYS's `conversation`, ShareGPT's `conversations`, `messages`, and rows with a `prompt`,
`instruction`, `query`, `question` or `task`. What counts is the first user turn. A row that cannot be read says why and
where, and the others go on.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tasks import store
from tasks.schema.errors import BadInput
from tasks.schema.params import Source

TURNS = ("conversation", "messages", "conversations")
TEXTS = ("prompt", "instruction", "query", "question", "task")
SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")
BATCH = 256  # Parquet rows in memory at a time
MEND = "mend the row, or raise collect.max_malformed in params.yaml to set such rows aside"


class Ask(NamedTuple):
    """What somebody asked of a model, as the source has it."""

    text: str
    source: str  # file:row
    toxic: bool = False
    redacted: bool = False
    attachment: bool = False  # the turn holds more than text


class Malformed(NamedTuple):
    """A row that is not of any known shape."""

    path: Path
    row: int  # from 1: the line of a JSONL file, the row of a Parquet file
    problem: str
    source: str

    def error(self) -> BadInput:
        return BadInput(self.path, self.problem, line=self.row, mend=MEND)


class _Problem(ValueError):
    """The first thing about a row that does not fit."""


def read(path: Path) -> Iterator[Ask | Malformed]:
    """Every row under `path`, in the order of the files' names. Raises BadInput for a file that is missing, empty or not Parquet."""
    for file in files(path):
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        for number, data, problem in _rows(file):
            source = f"{name}:{number}"
            try:
                yield _ask(data, source) if data is not None else Malformed(file, number, problem or "", source)
            except _Problem as found:
                yield Malformed(file, number, str(found), source)


def read_entry(entry: Source, folder: Path) -> Iterator[Ask | Malformed]:
    """Every row of one entry of params; `folder` is what its local files stand below. Rows are called `name/file:row`."""
    if entry.place != "local":
        raise BadInput(entry.files[0], f"source {entry.name}: not a local file", mend="fetch it into the section's folder first")
    for pattern in entry.files:
        found = sorted(folder.glob(pattern))
        if not found:
            raise BadInput(folder / pattern, f"source {entry.name}: no such file or folder", mend="check the source's files in params.yaml")
        for path in found:
            for row in read(path):
                yield row._replace(source=f"{entry.name}/{row.source}")


def files(path: Path) -> list[Path]:
    """`path` itself, or what can be read under it, by name."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BadInput(path, "no such file or folder", mend="check collect.source in params.yaml")
    found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file() and not file.name.startswith("."))
    if not found:
        raise BadInput(path, "no file to read in this folder", mend=f"put in one of {', '.join(SUFFIXES)}, or check collect.source")
    return found


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any] | None, str | None]]:
    if file.suffix != ".parquet":
        yield from ((row.line, row.data, row.problem) for row in store.rows(file))
        return
    try:
        with pq.ParquetFile(file) as table:
            if not table.metadata.num_rows:
                raise BadInput(file, "empty file", mend="it needs at least one row")
            yield from _numbered(batch for batch in table.iter_batches(batch_size=BATCH))
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(file, f"not readable as Parquet: {str(error).splitlines()[0]}", mend="fetch or write the file again") from None


def _numbered(batches: Iterator[Any]) -> Iterator[tuple[int, Mapping[str, Any] | None, str | None]]:
    number = 0
    for batch in batches:
        for place in range(batch.num_rows):
            number += 1
            try:
                yield number, batch.slice(place, 1).to_pylist()[0], None
            except UnicodeDecodeError as error:
                yield number, None, f"invalid UTF-8 at byte {error.start} of a text"


def _ask(row: Mapping[str, Any], source: str) -> Ask:
    toxic, redacted = _flag(row, "toxic"), _flag(row, "redacted")
    for field in TURNS:
        if row.get(field) is not None:
            return _first_turn(row[field], field, source)._replace(toxic=toxic or _moderated(row), redacted=redacted)
    for field in TEXTS:
        if (value := row.get(field)) is not None:
            if isinstance(value, list):
                return _first_turn(value, field, source)._replace(toxic=toxic, redacted=redacted)
            given = row.get("input") if field == "instruction" else None
            text = _text(value, field) + (f"\n\n{_text(given, 'input')}" if given else "")
            return Ask(text, source, toxic, redacted)
    raise _Problem(f"missing field: none of {', '.join((*TURNS, *TEXTS))}")


def _first_turn(turns: Any, field: str, source: str) -> Ask:
    """The first turn of the user; an empty text where there is none."""
    if not isinstance(turns, list):
        raise _Problem(f"{field}: a list of turns is wanted, got {_kind(turns)}")
    for place, turn in enumerate(turns):
        where = f"{field}.{place}"
        if not isinstance(turn, dict):
            raise _Problem(f"{where}: an object is wanted, got {_kind(turn)}")
        if (turn.get("role") or turn.get("from")) in ("user", "human"):
            return _turn(turn, where, source)
        if not (turn.get("role") or turn.get("from")):
            raise _Problem(f"{where}.role: missing field")
    return Ask("", source)


def _turn(turn: Mapping[str, Any], where: str, source: str) -> Ask:
    key = "value" if "value" in turn else "content"
    if key not in turn:
        raise _Problem(f"{where}.content: missing field")
    content = turn[key]
    if not isinstance(content, list):
        return Ask("" if content is None else _text(content, f"{where}.{key}"), source)
    texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return Ask("\n".join(texts), source, attachment=len(texts) < len(content))


def _moderated(row: Mapping[str, Any]) -> bool:
    """LMSYS has no flag of its own: its first turn's moderation says whether it was flagged."""
    verdicts = row.get("openai_moderation")
    first = verdicts[0] if isinstance(verdicts, list) and verdicts else None
    return isinstance(first, dict) and first.get("flagged") is True


def _flag(row: Mapping[str, Any], field: str) -> bool:
    value = row.get(field)
    if value is not None and not isinstance(value, bool):
        raise _Problem(f"{field}: true or false is wanted, got {_kind(value)}")
    return bool(value)


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise _Problem(f"{field}: a text is wanted, got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    """What JSON calls it, with the value where it is short."""
    name = {dict: "an object", list: "a list", bool: "a truth value", int: "a number", float: "a number", str: "a text"}.get(
        type(value), "null"
    )
    return name if isinstance(value, dict | list) or len(repr(value)) > 40 else f"{name} ({value!r})"
