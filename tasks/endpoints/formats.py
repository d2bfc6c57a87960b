"""The format of journal records: a version number, and validation of the shape. A correct checksum proves only that the bytes are intact.

Records of every earlier format stay readable. A record of a later format was written by a newer version of this program: it is refused and
not changed. Unknown fields are ignored.
"""

from functools import cache
from typing import NamedTuple, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

FORMAT = 2  # format 1 had no format field
NAME = "format"
OPTIONAL = (
    "stopped",
    "evidence",
    "saved",
    "record",
    "way",
    "batched",
)  # fields that are left out if they are empty; earlier versions ignore them
_NEWEST = b'{"%s":%d,' % (NAME.encode(), FORMAT)
_FIRST = b'{"role":'

R = TypeVar("R", bound=tuple[object, ...])


class Newer(NamedTuple):
    """The format of a record that a newer version wrote."""

    format: int


def encode(record: NamedTuple) -> bytes:
    """Returns a NamedTuple as one line of JSON without line end; the format comes first."""
    known = {name: value for name, value in record._asdict().items() if value or name not in OPTIONAL}
    return orjson.dumps({NAME: FORMAT, **known})  # the record has its own format


def decode(body: bytes | memoryview, kind: type[R]) -> R | Newer | None:
    """Returns the record; Newer for a later format; None if the JSON does not have the shape of `kind`."""
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
        known = {name: data[name] for name in kind._fields if name in data}  # type: ignore[attr-defined]
        record: R = _adapter(kind).validate_python(known, strict=True)
        return record
    except ValidationError:
        return None


def is_plain(body: bytes | memoryview) -> bool:
    """Whether the first bytes look like a record of a known format. Fast: the JSON is not parsed."""
    start = bytes(body[: len(_NEWEST)])
    return start == _NEWEST or (start.startswith(_FIRST) and b'"%s":' % NAME.encode() not in bytes(body))


@cache
def _adapter(kind: type[R]) -> TypeAdapter[R]:
    return TypeAdapter(kind)
