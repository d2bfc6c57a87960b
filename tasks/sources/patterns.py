"""Glob patterns over names that are no local paths: keys of a bucket, files of a dataset."""

import re
from collections.abc import Iterable

LINES = (".jsonl", ".ndjson", ".json")
READABLE = (*LINES, *(f"{name}{end}" for name in LINES for end in (".gz", ".zst")), ".parquet")  # how the names of data files end
_PIECE = re.compile(r"\*\*/?|\*|\?|\[[^\]]+\]|.", re.DOTALL)


def fixed_prefix(pattern: str) -> str:
    """What stands before the first sign of a pattern."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Names that match, or that lie below the folder which `pattern` names and can be read. `*` stays within a folder, `**` does not."""
    names = list(names)
    if fixed_prefix(pattern) != pattern:
        form = re.compile("".join(_piece(piece) for piece in _PIECE.findall(pattern)))
        return [name for name in names if form.fullmatch(name)]
    below = pattern.rstrip("/") + "/" if pattern else ""
    return [name for name in names if name == pattern or (name.startswith(below) and name.endswith(READABLE))]


def _piece(piece: str) -> str:
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return known.get(piece) or (piece if len(piece) > 2 and piece.startswith("[") else re.escape(piece))
