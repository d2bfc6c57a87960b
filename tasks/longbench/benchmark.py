"""Reads benchmark files in LongBench-Write's format: one JSON object a line with `prompt`, `type` and `length` (words).

Other formats are converted to the same items by an adapter (adapters.py).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from glob import glob
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.schema.errors import BadInput
from tasks.schema.records import BenchmarkItem
from tasks.text import languages
from tasks.text.counts import chinese_share

FIX = "correct or remove the line"
_OTHERS = {  # by their first bytes
    b"\x1f\x8b": "this is gzip, unpack it first",
    b"PK\x03\x04": "this is a ZIP archive or a spreadsheet",
    b"PAR1": "this is Parquet",
    b"\xff\xfe": "this is UTF-16",
    b"\xfe\xff": "this is UTF-16",
}


class BenchmarkRow(NamedTuple):
    """One row of a file, with the file and line it comes from."""

    data: Mapping[str, object]
    path: Path
    line: int

    def has(self, *fields: str) -> bool:
        """Whether the row has one of these fields."""
        return any(field in self.data for field in fields)

    def text(self, *fields: str, empty: bool = False) -> str:
        """Returns the first of these fields that the row has. Raises BadInput if none is present, or if the value is no string, or is blank
        (allowed with `empty`).
        """
        field = next((name for name in fields if name in self.data), fields[0])
        if field not in self.data:
            raise self.bad(field, "missing field")
        value = self.data[field]
        if not isinstance(value, str):
            raise self.bad(field, f"not a string: {store.shorten(value)}")
        if not empty and not value.strip():
            raise self.bad(field, "blank")
        return value

    def length(self, *fields: str) -> int:
        """Returns the requested length in words, a positive integer. Raises BadInput otherwise: a length is never guessed."""
        field = next((name for name in fields if name in self.data), "length")
        if field not in self.data:
            raise self.bad(field, "missing field", fix="add the number of words that the prompt asks for")
        value = self.data[field]
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.bad(field, f"not a whole number: {store.shorten(value)}")
        if value <= 0:
            raise self.bad(field, f"{value}, but a length is positive")
        return value

    def identity(self) -> str:
        """Returns the row's own `id` (a string or an integer) as a string; empty if there is none. Raises BadInput for any other value."""
        value = self.data.get("id")
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return "" if value is None else str(value)
        return self.text("id")

    def bad(self, field: str, problem: str, *, fix: str = FIX) -> BadInput:
        """Returns a BadInput with the row's file and line."""
        return BadInput(self.path, problem, line=self.line, field=field, fix=fix)


class BenchmarkPrompt(NamedTuple):
    """A prompt with its requested length, as read from a row."""

    prompt: str
    length: int  # words
    type: str = ""
    id: str = ""  # empty: derived from prompt and length
    language: str = ""  # ISO 639; empty: detected from the prompt
    topic: str = ""  # empty: derived from the prompt


def asked(entry: BenchmarkRow) -> BenchmarkPrompt:
    """Reads a row in LongBench-Write's format. Raises BadInput if the row has another format."""
    prompt, length = entry.text("prompt"), entry.length()
    return BenchmarkPrompt(prompt, length, entry.text("type", empty=True) if entry.has("type") else "", id=entry.identity())


def items_of(rows: Iterable[tuple[BenchmarkRow, BenchmarkPrompt]]) -> Iterator[BenchmarkItem]:
    """Yields an item with an id for each prompt. Raises BadInput for a duplicate: its answers would count as two observations."""
    seen: dict[str, BenchmarkRow] = {}
    for entry, ask in rows:
        item = item_of(ask)
        first = seen.setdefault(item.id, entry)
        if first is not entry:
            problem = f"{item.id} is there twice" if ask.id else "the same prompt and length are there twice"
            fix = "give each row an id of its own" if ask.id else "remove the line"
            raise entry.bad("id" if ask.id else "prompt", f"{problem}, first in {first.path.name}:{first.line}", fix=fix)
        yield item


def item_of(ask: BenchmarkPrompt) -> BenchmarkItem:
    """Returns the benchmark item of a prompt; missing id and language are derived from the prompt."""
    return BenchmarkItem(
        id=ask.id or item_id(ask.prompt, ask.length),
        prompt=ask.prompt,
        type=ask.type,
        length=ask.length,
        language=ask.language or language_of(ask.prompt),
    )


def item_id(prompt: str, length: int) -> str:
    """The first 12 hex digits of the SHA-256 of prompt and length. Stable when rows are reordered or files are cut."""
    return hashlib.sha256(f"{length}\0{prompt}".encode()).hexdigest()[:12]


def language_of(text: str) -> str:
    """Returns the ISO 639 code of a text's language.

    A text that is detected as English, Chinese or unknown is "zh" if at least a quarter of its visible characters are CJK ideographs
    (U+4E00 to U+9FFF), else "en".
    """
    told = languages.language_of(text)
    if told in ("en", "zh", languages.UNKNOWN):
        return "zh" if chinese_share(text) >= 0.25 else "en"
    return told


def entries(path: Path) -> Iterator[BenchmarkRow]:
    """Yields the rows of a JSONL file, of all `.jsonl` files in a folder, or of a glob. Raises BadInput at the first row that is no JSON
    object.
    """
    for file in _files(path):
        for row in store.rows(file):
            if row.data is None:
                problem = row.problem or ""
                raise BadInput(file, problem, line=row.line, fix=_fix_for(file, problem) if row.line == 1 else FIX)
            yield BenchmarkRow(row.data, file, row.line)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(path.glob("*.jsonl"))
    elif path.exists() or not set("*?[") & set(str(path)):
        return [path]
    else:
        found = sorted(map(Path, glob(str(path))))
    if not found:
        raise BadInput(path, "no .jsonl file here", fix="give a JSONL file, a folder of them, or a pattern such as 'folder/*4k*.jsonl'")
    return found


def _fix_for(file: Path, problem: str) -> str:
    """The fix for a first line that is no JSON object: usually the file has another format."""
    with file.open("rb") as opened:
        start = opened.readline(4096)
    for signature, kind in _OTHERS.items():
        if start.startswith(signature):
            return f"{kind}; write JSON Lines: one JSON object a line, in UTF-8"
    first = start.removeprefix(store.BOM).strip()
    if first.startswith(b"["):
        return f"a JSON array becomes one object a line by `jq -c '.[]' {file.name}`"
    if first.startswith(b"{") and "end of data" in problem:
        return f"JSON over several lines becomes one object a line by `jq -c . {file.name}`"
    if problem.startswith("not JSON") and not first.startswith(b"{"):
        return "write JSON Lines: one JSON object per line, no CSV and no plain text"
    return FIX
