"""A benchmark file in LongBench-Write's format: one JSON object a line with `prompt`, `type` and `length` (words asked for)."""

import hashlib
from pathlib import Path
from typing import Any

from tasks import store
from tasks.longbench.length import chinese_share
from tasks.schema.errors import BadInput
from tasks.schema.records import BenchmarkItem, Language

MEND = "mend or remove the line"


def read_benchmark(path: Path) -> list[BenchmarkItem]:
    """Every item, in the file's order; other fields are ignored, and `type` may be missing (LongWrite-Ruler varies).

    Raises BadInput with the line and the field of the first row that has no prompt or no positive length.
    """
    items: list[BenchmarkItem] = []
    seen: dict[str, int] = {}
    for row in store.rows(path):
        if row.data is None:
            raise BadInput(path, row.problem or "", line=row.line, mend=MEND)
        prompt, length = text_of(row.data, "prompt", path=path, line=row.line), length_of(row.data, path=path, line=row.line)
        own = item_id(prompt, length)
        seen[own] = seen.get(own, 0) + 1
        kind = row.data.get("type", "")
        if not isinstance(kind, str):
            raise BadInput(path, f"not a string: {store.shorten(kind)}", line=row.line, field="type", mend=MEND)
        # The same prompt twice is two items: both are asked, and both are answered.
        identity = own if seen[own] == 1 else f"{own}-{seen[own]}"
        items.append(BenchmarkItem(id=identity, prompt=prompt, type=kind, length=length, language=language_of(prompt)))
    return items


def item_id(prompt: str, length: int) -> str:
    """12 hex digits of the SHA-256 of prompt and length: stable when rows are reordered or files are cut."""
    return hashlib.sha256(f"{length}\0{prompt}".encode()).hexdigest()[:12]


def language_of(text: str) -> Language:
    """Chinese when at least a quarter of the visible characters are CJK ideographs (U+4E00 to U+9FFF), else English."""
    return "zh" if chinese_share(text) >= 0.25 else "en"


def text_of(data: dict[str, Any], field: str, *, path: Path, line: int, empty: bool = False) -> str:
    """A string field. Raises BadInput if it is missing, no string, or blank where `empty` does not allow it."""
    if field not in data:
        raise BadInput(path, "missing field", line=line, field=field, mend=MEND)
    value = data[field]
    if not isinstance(value, str):
        raise BadInput(path, f"not a string: {store.shorten(value)}", line=line, field=field, mend=MEND)
    if not empty and not value.strip():
        raise BadInput(path, "blank", line=line, field=field, mend=MEND)
    return value


def length_of(data: dict[str, Any], *, path: Path, line: int) -> int:
    """The asked length, a positive whole number. Raises BadInput otherwise: a length is never guessed."""
    if "length" not in data:
        raise BadInput(path, "missing field", line=line, field="length", mend="add the number of words that the prompt asks for")
    value = data["length"]
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadInput(path, f"not a whole number: {store.shorten(value)}", line=line, field="length", mend=MEND)
    if value <= 0:
        raise BadInput(path, f"{value}, but a length is positive", line=line, field="length", mend=MEND)
    return value
