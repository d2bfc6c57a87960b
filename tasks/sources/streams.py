"""Read files that cannot be read from the middle (compressed files, JSON arrays, Arrow streams) as a stream of JSON lines.

ShareGPT and Alpaca are published as JSON arrays. ijson parses them item by item, so memory holds one item. gzip and Zstandard are
decompressed as a stream. Arrow streams are what `Dataset.save_to_disk` writes.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple, cast

import orjson
import pyarrow as pa

from tasks.schema.errors import BadInput
from tasks.schema.redaction import redact
from tasks.store import BOM

ARROW = ".arrow"
PACKED = (".gz", ".zst", ARROW)
READ = 2**16  # bytes per read of the parser


class Piece(NamedTuple):
    """Consecutive lines of a file, uncompressed."""

    lines: bytes
    start: int  # position of the first byte in the uncompressed lines
    nbytes: int  # bytes of the file that were read for these lines


def packed(place: str) -> bool:
    """Whether a file is compressed, by its name."""
    return place.endswith(PACKED)


def is_array(place: str, head: bytes) -> bool:
    """Whether a file is one JSON array, by its name and first bytes. In a JSON Lines file a list is an invalid row."""
    name = next((place.removesuffix(end) for end in PACKED if place.endswith(end)), place)
    return name.endswith(".json") and head.removeprefix(BOM).lstrip().startswith(b"[")


def pieces(raw: BinaryIO, place: str, *, size: int, longest: int) -> Iterator[Piece]:
    """The lines of a file, or the items of its array as lines, about `size` bytes per piece. A line longer than `longest` is cut.

    Raises BadInput if the file is damaged, or if an item of an array is longer than `longest`.
    """
    with _unpacked(raw, place) as stream:
        if place.endswith(ARROW):
            lines = _rows(stream)
        elif is_array(place, stream.peek(64)[:64]):
            lines = _items(stream, place, longest)
        else:
            lines = _lines(stream, longest)
        at = start = 0
        for held in _gathered(lines, size):
            yield Piece(held, start, raw.tell() - at)
            at, start = raw.tell(), start + len(held)


def head(raw: BinaryIO, place: str) -> bytes:
    """The first 64 bytes of the uncompressed content."""
    with _unpacked(raw, place) as stream:
        return stream.read(64)


@contextmanager
def _unpacked(raw: BinaryIO, place: str) -> Iterator[io.BufferedReader]:
    kind = "gzip" if place.endswith(".gz") else "an Arrow stream" if place.endswith(ARROW) else "Zstandard"
    try:
        if place.endswith(".gz"):
            yield io.BufferedReader(gzip.GzipFile(fileobj=raw))
        elif place.endswith(".zst"):
            stream = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
            yield io.BufferedReader(cast(io.RawIOBase, stream))
        else:
            yield io.BufferedReader(cast(io.RawIOBase, raw))
    except (EOFError, gzip.BadGzipFile, zlib.error, pa.ArrowException, OSError) as error:
        if not packed(place):
            raise
        said = redact(" ".join(str(error).split()))[:120]
        raise BadInput(place, f"not readable as {kind}: {said}", fix="fetch or write the file again") from None


def _rows(stream: io.BufferedReader) -> Iterator[bytes]:
    for batch in pa.ipc.open_stream(stream):
        for place in range(batch.num_rows):
            try:
                [row] = batch.slice(place, 1).to_pylist()
                yield orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE)
            except UnicodeDecodeError as error:  # handed on, so that the reader says so of this row
                yield b'{"text": "' + bytes([error.object[error.start]]) + b'"}\n'


def _lines(stream: io.BufferedReader, longest: int) -> Iterator[bytes]:
    while line := stream.readline(longest + 1):
        yield line
        while len(line) > longest and not line.endswith(b"\n"):
            line = stream.readline(longest)
            if line.endswith(b"\n"):
                yield b"\n"


def _items(stream: io.BufferedReader, place: str, longest: int) -> Iterator[bytes]:
    import ijson

    counted, number = _Counted(stream, longest), 0
    try:
        for item in ijson.items(counted, "item", buf_size=READ):
            yield _line(item)
            counted.since, number = 0, number + 1
    except _TooLong:
        problem = f"an item of more than {longest // 2**20} MiB"
        raise BadInput(place, problem, line=number + 1, fix="correct or remove the item") from None
    except (ijson.JSONError, UnicodeDecodeError) as error:
        said = redact(" ".join(str(error).split()))[:120]
        raise BadInput(place, f"not JSON: {said}", line=number + 1, fix="correct the item, or fetch the file again") from None


def _line(item: object) -> bytes:
    try:
        return orjson.dumps(item, default=float, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a lone surrogate, or a number of more than 64 bits: the reader of the line reports it
        return json.dumps(item, default=float).encode() + b"\n"


class _TooLong(Exception):
    """An item has more bytes than allowed."""


class _Counted:
    """A stream that raises _TooLong after `longest` bytes, unless the reader resets `since` to zero after each item."""

    def __init__(self, stream: io.BufferedReader, longest: int) -> None:
        self._stream, self._longest, self.since = stream, longest, 0
        if stream.peek(3)[:3] == BOM:
            stream.read(3)

    def read(self, size: int) -> bytes:
        if size and self.since > self._longest + READ:
            raise _TooLong
        block = self._stream.read(size)
        self.since += len(block)
        return block


def _gathered(lines: Iterable[bytes], size: int) -> Iterator[bytes]:
    held = bytearray()  # a list of lines would fragment the memory
    for line in lines:
        held += line
        if len(held) >= size and line.endswith(b"\n"):
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
