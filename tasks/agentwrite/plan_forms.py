"""Plans that come as JSON or as a Markdown table."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from tasks.agentwrite.plan_fields import TOTAL, Field, Line, count_of, field_of, fold, point_of, take_count, tidy
from tasks.text.numbers import number

_FENCE = re.compile(r"```\w*\s*\n(.*?)```", re.DOTALL)
_RULE = re.compile(r"^(?=[\s|:]*-)[\s|:-]*$")
_CELL = re.compile(r"(?<!\\)\|")
_ORDINAL = re.compile(r"^\D{0,12}?(?P<n>\d{1,4}|[一二两三四五六七八九十百]{1,5})(?:\s*[段章节]\w?)?[\W_]*$")
_DEFAULT: dict[int, tuple[Field | None, ...]] = {
    2: ("point", "words"),
    3: ("number", "point", "words"),
    4: ("number", "title", "point", "words"),
}


def read_json(text: str) -> list[Line]:
    """The items of the first list of objects in `text`; nothing where there is none."""
    for candidate in _candidates(text):
        try:
            items = _items(orjson.loads(candidate))
        except orjson.JSONDecodeError:
            continue
        if items and any({field_of(key) for key in item} & {"point", "title", "words"} for item in items):
            return [_from_fields(place, _named(item)) for place, item in enumerate(items, 1)]
    return []


def _candidates(text: str) -> Iterator[str]:
    yield from _FENCE.findall(text)
    spans = [(text.find(opening), text.rfind(closing)) for opening, closing in ("[]", "{}")]
    yield from (text[start : end + 1] for start, end in sorted(spans) if 0 <= start < end)


def _items(value: Any) -> list[dict[str, Any]] | None:
    """The first list of objects, or mapping of names to objects, however deep it lies."""
    if isinstance(value, list):
        return value if value and all(isinstance(item, dict) for item in value) else None
    if not isinstance(value, dict) or not value:
        return None
    if len(value) > 1 and all(isinstance(item, dict) for item in value.values()):
        return [{"number": key, **item} for key, item in value.items()]
    return next((items for inner in value.values() if (items := _items(inner))), None)


def _named(item: dict[str, Any]) -> list[tuple[Field | None, Any]]:
    return [
        (field_of(key), "; ".join(map(str, value)) if isinstance(value, list) else value)
        for key, value in item.items()
        if value is not None
    ]


def read_table(lines: list[str]) -> list[Line]:
    """The rows of a table, by the names in its header, else in the usual order; nothing where there is no table."""
    ruled = any(_RULE.match(line) and "|" in line for line in lines)
    rows = [line for line in lines if line.count("|") >= 2 - ruled and (ruled or line.lstrip().startswith("|"))]
    if len(rows) < 1 + ruled:
        return []
    cells = [_cells(row) for row in rows if not _RULE.match(row)]
    header = [field_of(cell) for cell in cells[0]]
    if "words" in header and not any(count_of(cell) for cell in cells[0]):
        columns, cells = tuple(header), cells[1:]
    else:
        columns = _DEFAULT.get(len(cells[0]), ())
    rows_of_plan = [row for row in cells if any(row) and not any(TOTAL.match(fold(cell)) for cell in row[:2])]
    return [_from_fields(place, list(zip(columns, row, strict=False))) for place, row in enumerate(rows_of_plan, 1)]


def _cells(row: str) -> list[str]:
    return [tidy(cell.replace("\\|", "|")) for cell in _CELL.split(row.strip().removeprefix("|").removesuffix("|"))]


def _from_fields(place: int, fields: list[tuple[Field | None, Any]]) -> Line:
    """A line of a plan from named values. Without a number it has its place; a "number" that is none is a title."""
    found: dict[Field, list[str]] = {"title": [], "point": []}
    words, given = None, place
    for field, value in fields:
        if field == "words":
            words = count_of(value) if count_of(value) is not None else words
        elif field == "number" and (match := _ORDINAL.match(fold(str(value)))):
            given = number(match["n"])
        elif field:
            found["point" if field == "point" else "title"].append(point_of(str(value)))
    if words is None and found["point"]:
        words, found["point"][-1] = take_count(found["point"][-1])
    said = ": ".join(part for part in (" ".join(found["title"]), " ".join(found["point"])) if part)
    return Line(given, tidy(said), words)
