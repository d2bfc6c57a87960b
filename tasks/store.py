"""Read and write streams of typed records. Errors name the line; a file is replaced only when the new one is complete.

The format is JSON Lines in UTF-8, one record per line, split only at LF (U+2028 is text). orjson is stricter than Python's parser: NaN
and lone surrogates are errors.
"""

import hashlib
import os
import re
import secrets
import shutil
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from tasks import portable, processes
from tasks.schema.errors import BadInput

R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")

MAX_LINE = 64 * 2**20  # bytes; a longer line is a broken file, not a record
_SCRATCH = re.compile(
    r"\.(?P<name>.+)\.(?P<place>[0-9a-f]{6})-(?P<mark>\d+-\d+)\.[0-9a-f]{4}\.(?P<kind>part|old)(?:-journal|-wal|-shm)?", re.DOTALL
)
BOM = b"\xef\xbb\xbf"  # may begin a file in UTF-8
_LONE_SURROGATE = re.compile(rb"(?<!\\)(?:\\\\)*\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class JsonLine(NamedTuple):
    """One line of a JSONL file: its object, or its problem."""

    line: int  # from 1
    data: dict[str, object] | None
    problem: str | None = None
    start: int = 0  # byte at which the line begins


def rows(path: Path) -> Iterator[JsonLine]:
    """Every non-blank line of a JSONL file, also unreadable ones. Raises BadInput if the file is missing or has no row."""
    if not path.is_file():
        raise BadInput(path, "no such file", fix="check the path")
    found = False
    with path.open("rb") as file:
        offset, number = 0, 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            start, offset = offset, offset + len(line)
            if len(line) > MAX_LINE:
                yield _too_long(number, start)
                found = True
                while line and not line.endswith(b"\n"):  # skip the rest of the line in bounded memory
                    line = file.readline(MAX_LINE)
                    offset += len(line)
                continue
            if number == 1:
                line = line.removeprefix(BOM)
            if line.strip():
                found = True
                yield row_of(number, line, start)
    if not found:
        raise BadInput(path, "empty file", fix="add at least one JSON object, one per line")


def row_at(path: Path, start: int, number: int) -> JsonLine:
    """The line that begins at byte `start`, which is line `number` of the file."""
    with path.open("rb") as file:
        file.seek(start)
        line = file.readline(MAX_LINE + 1)
    return _too_long(number, start) if len(line) > MAX_LINE else row_of(number, line.removeprefix(BOM), start)


def _too_long(number: int, start: int) -> JsonLine:
    return JsonLine(number, None, f"line of more than {MAX_LINE // 2**20} MiB", start)


def row_of(number: int, line: bytes, start: int) -> JsonLine:
    """Parse one line that begins at byte `start` of its file."""
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return JsonLine(number, None, _why(line, start, error), start)
    if not isinstance(data, dict):
        return JsonLine(number, None, f"a JSON {type(data).__name__}, not an object", start)
    return JsonLine(number, data, None, start)


def _why(line: bytes, start: int, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as broken:
        return f"invalid UTF-8 at byte {start + broken.start} of the file"
    if "surrogate" in str(error) or (_LONE_SURROGATE.search(line) and "escape" in str(error)):
        return "a lone surrogate escape (half of a character)"
    if not line.endswith(b"\n"):
        return "torn last line: the JSON object is cut off"
    return f"not JSON: {error.msg} at column {error.colno}"


def read(path: Path, record: type[R]) -> Iterator[R]:
    """Every row of a file as `record`. Raises BadInput with line, field and fix at the first row that does not fit."""
    return (found for _, found in placed(path, record))


def placed(path: Path, record: type[R]) -> Iterator[tuple[int, R]]:
    """As `read`, but (byte at which the line begins, record); `read_at` reads a record again, so that memory need not keep all."""
    for row in rows(path):
        if row.data is None:
            raise BadInput(path, row.problem or "", line=row.line, fix="correct or remove the line")
        yield row.start, parse(row.data, record, path=path, line=row.line)


def read_at(path: Path, start: int, record: type[R]) -> R:
    """The record on the line that begins at byte `start`."""
    with path.open("rb") as file:
        file.seek(start)
        return record.model_validate_json(file.readline().removeprefix(BOM))


def batched(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yields lists of `size` values; the last list may be shorter. Python 3.12 has this in itertools."""
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part


def append_line(path: Path, line: bytes, *, sync: bool = False) -> None:
    """Append a line to a private file, by one call, so that lines of parallel processes do not mix. `sync`: it is on disk then."""
    private_folder(path.parent)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | portable.OPEN, 0o600)
    try:
        os.write(file, line + b"\n")
        if sync:
            os.fsync(file)
    finally:
        os.close(file)


def parse(data: object, record: type[R], *, path: Path, line: int | None, fix: str = "correct or remove the line") -> R:
    """JSON data as `record`. Raises BadInput with the first field that does not fit."""
    try:
        # Round trip through JSON text: pydantic's strict mode then takes lists for tuples and strings for enums.
        return record.model_validate_json(orjson.dumps(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or None
        known = {"missing": "missing field", "extra_forbidden": "unknown field"}
        problem = known.get(first["type"]) or f"{first['msg']}, got {shorten(first['input'])}"
        raise BadInput(path, problem, line=line, field=field, fix=fix) from None


def shorten(value: object) -> str:
    """A value's repr, at most 60 characters, for a one-line message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_list(path: Path, record: type[R]) -> list[R]:
    """As `read`, as a list. An empty file raises BadInput, because no stage writes an empty file that a later stage needs."""
    return list(read(path, record))


def count(path: Path) -> int:
    """Number of lines in a file, for progress bars; 0 if there is no file."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))


def write(path: Path, records: Iterable[BaseModel]) -> int:
    """Write records as JSONL, atomically; returns their number."""
    count = 0
    with replacing(path) as scratch, scratch.open("wb") as file:
        for record in records:
            file.write(record.model_dump_json().encode("utf-8") + b"\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


class Spool:
    """Collects records on disk in any order, and returns them in the order of their places. Uses 24 bytes of memory per record.

    Places are whole numbers from 0, each used once.
    """

    def __init__(self, folder: Path | None = None):
        """`folder` is the folder of the temporary file; None: the system's."""
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (removed when the spool is deleted)
        self._places, self._starts, self._lengths = array("q"), array("q"), array("q")

    def __len__(self) -> int:
        return len(self._places)

    def put(self, place: int, record: BaseModel) -> None:
        self._places.append(place)
        self._starts.append(self._file.seek(0, os.SEEK_END))
        self._lengths.append(self._file.write(record.model_dump_json().encode("utf-8") + b"\n"))

    def at(self, number: int, record: type[R]) -> R:
        """The record of the `number`-th call of `put`, from 0."""
        self._file.seek(self._starts[number])
        return record.model_validate_json(self._file.read(self._lengths[number]))

    def lines(self) -> Iterator[bytes]:
        """The records' JSON lines, in the order of their places."""
        import numpy as np

        for number in np.argsort(np.asarray(self._places), kind="stable"):
            self._file.seek(self._starts[number])
            yield self._file.read(self._lengths[number])

    def records(self, record: type[R]) -> Iterator[R]:
        """The records, in the order of their places."""
        return (record.model_validate_json(line) for line in self.lines())

    def write(self, path: Path) -> int:
        """Write the records as JSONL, atomically; returns their number."""
        with replacing(path) as scratch, scratch.open("wb") as file:
            file.writelines(self.lines())
            file.flush()
            os.fsync(file.fileno())
        return len(self)


def write_json(path: Path, value: object) -> None:
    """Write one JSON document (a record, or plain data), indented, keys sorted, atomically."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    with replacing(path) as scratch:
        scratch.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, atomically."""
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def read_document(path: Path, record: type[R], *, fix: str = "run the stage that writes it: `longwriter run`") -> R:
    """One JSON document as `record`. Raises BadInput if it is missing or not JSON, or with the first field that does not fit."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(path, "no such file", fix=fix) from None
    return parse_document(text, record, path=path, fix=fix)


def parse_document(text: bytes, record: type[R], *, path: Path, fix: str) -> R:
    """As `read_document`, for a document that is already read; `path` is its name in errors."""
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadInput(path, f"not JSON: {error.msg}", line=error.lineno, fix=fix) from None
    return parse(data, record, path=path, line=None, fix=fix)


def private_folder(path: Path) -> None:
    """Create a folder with mode 0700. An existing folder keeps its mode, except `.longwriter` and folders in it."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.stat()
    if ".longwriter" in path.parts and portable.is_own(status.st_uid) and status.st_mode & 0o077:
        path.chmod(0o700)


def private_file(path: Path) -> None:
    """Create a file if it is missing, and give it mode 0600."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | portable.OPEN, 0o600))
    if portable.is_own(path.stat().st_uid):
        path.chmod(0o600)


def take_place(scratch: Path, path: Path) -> None:
    """Move a complete file or folder to `path`. The old content is removed after the move."""
    if path.is_dir() and not path.is_symlink():
        discard = path.with_name(_scratch_name(path, "old"))
        os.replace(path, discard)
        os.replace(scratch, path)
        shutil.rmtree(discard)
    else:
        os.replace(scratch, path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A scratch path (file or folder) beside `path` that replaces it when the block succeeds, and is removed when it fails.

    The scratch name contains the owning process; scratch files of dead processes beside `path` are removed. Raises BadInput if `path`
    cannot be replaced (`check_replaceable`).
    """
    check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_once(path.parent.absolute())
    scratch = path.with_name(_scratch_name(path, "part"))
    try:
        yield scratch
        take_place(scratch, path)
    finally:
        _remove(scratch)


def check_replaceable(path: Path) -> None:
    """Raises BadInput for a link to a folder, the working directory, a folder above it, or a mount point."""
    fix = "choose a separate folder"
    if path.is_symlink() and (path.is_dir() or not path.exists()):
        raise BadInput(path, "a symbolic link, which cannot be replaced by a folder", fix=f"{fix}, or the folder that the link points to")
    if path.name in ("", "..") or (path.is_dir() and Path.cwd().is_relative_to(path.resolve())):
        raise BadInput(path, "the working directory, or a folder above it, cannot be replaced", fix=fix)
    if path.is_mount():
        raise BadInput(path, "a mount point cannot be replaced", fix=f"{fix} below it")


def _scratch_name(path: Path, suffix: str) -> str:
    """`.NAME.PLACE-PID-START.TOKEN.part`: a hidden name with the owning process (tasks.processes)."""
    return f".{path.name}.{processes.place()}-{processes.mark()}.{secrets.token_hex(2)}.{suffix}"


def sweep(folder: Path) -> None:
    """Cleans up scratch files of processes that no longer run: removes them, and restores the old version of a file if its replacement was
    interrupted.

    Scratch files of running processes stay, and those of other machines or containers, because their processes cannot be checked.
    SQLite's own files beside a scratch database (`-journal`, `-wal`, `-shm`) are removed too.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        found = _SCRATCH.fullmatch(name)
        if not found or found["place"] != processes.place() or processes.lives(found["mark"]):
            continue
        if found["kind"] == "old" and not (folder / found["name"]).exists():  # killed between the two moves of `take_place`
            os.replace(folder / name, folder / found["name"])
        else:
            _remove(folder / name)


@cache
def _sweep_once(folder: Path) -> None:
    """`sweep` once per process, because a folder may contain many files."""
    sweep(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def digest(*paths: Path) -> str:
    """SHA-256 (hex) of a file, or over several files and folders in the given order."""
    if len(paths) == 1 and paths[0].is_file():
        with paths[0].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256("\n".join(folder_digest(path) if path.is_dir() else digest(path) for path in paths).encode()).hexdigest()


def folder_digest(folder: Path) -> str:
    """SHA-256 (hex) over the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            digest.update(f"{path.relative_to(folder)}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
