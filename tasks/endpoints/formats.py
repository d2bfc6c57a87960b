"""The form of a record in the journal: its version, and its shape as data. A right checksum says that the bytes are whole, no more.

Records of every earlier format are read for ever. One of a later format was written by a newer version of this program: it is refused,
and stays where it is. Fields that are not known are left aside.
"""

from functools import cache
from typing import Any, NamedTuple, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

FORMAT = 2  # 1 had no mark of its format
NAME = "format"
_NEWEST = b'{"%s":%d,' % (NAME.encode(), FORMAT)
_FIRST = b'{"role":'

R = TypeVar("R", bound=tuple[Any, ...])


class Newer(NamedTuple):
    """A record that a newer version wrote, and its format."""

    format: int


def encode(record: Any) -> bytes:
    """A NamedTuple as one line of JSON, without its end; its format comes first."""
    return orjson.dumps({NAME: record.format, **record._asdict()})


def decode(body: bytes | memoryview, kind: type[R]) -> R | Newer | None:
    """The record; None where the shape is not one of `kind`, whatever its checksum says."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(data, dict):
        return None
    number = data.get(NAME, 1)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        return None
    if number > FORMAT:
        return Newer(number)
    try:
        return _adapter(kind).validate_python({name: data[name] for name in kind._fields if name in data}, strict=True)  # type: ignore[attr-defined]
    except ValidationError:
        return None


def is_plain(body: bytes | memoryview) -> bool:
    """Does it look like a record of a known format? Told by its first bytes, without reading all of it."""
    start = bytes(body[: len(_NEWEST)])
    return start == _NEWEST or (start.startswith(_FIRST) and b'"%s":' % NAME.encode() not in bytes(body))


@cache
def _adapter(kind: type[R]) -> TypeAdapter[R]:
    return TypeAdapter(kind)
