"""Which names are meant: glob patterns over keys of a bucket and files of a dataset, and the data files of any folder.

Of a folder every data file is read, whatever its format and its split. What is left out is said in one line, unless it is known to
hold no rows: a README, a licence, what `datasets` writes beside its data.
"""

import re
from collections.abc import Iterable, Sequence

from tasks import progress

LINES = (".jsonl", ".ndjson", ".json")
READABLE = (*LINES, *(f"{name}{end}" for name in LINES for end in (".gz", ".zst")), ".parquet")  # how the names of data files end
METADATA = frozenset(("dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json"))  # of `datasets`
_CACHED = re.compile(r"cache-[0-9a-f]+(?:_\d+_of_\d+)?\.arrow")  # what `datasets` computed once
_NO_DATA = re.compile(
    r"(?:readme|licen[cs]e|copying|changelog|notice|citation)(?:[._-].*)?|.*\.(?:md|rst|dvc|py|ya?ml|cff|lock)", re.IGNORECASE
)
_NAMED = 3  # files that a line names
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
    return [pattern] if pattern in names else data_files(below(pattern, names))


def below(folder: str, names: Iterable[str]) -> list[str]:
    """Names of what lies in a folder, hidden files and folders left out. An empty name is the root."""
    start = folder.rstrip("/") + "/" if folder else ""
    return [name for name in names if name.startswith(start) and not any(part.startswith(".") for part in name[len(start) :].split("/"))]


def data_files(names: Iterable[str], suffixes: tuple[str, ...] = READABLE) -> list[str]:
    """Those of a folder's files that hold rows, by their names."""
    return [name for name in names if name.endswith(suffixes) and not _holds_no_rows(name)]


def say_left_out(place: str, names: Iterable[str], read: Iterable[str], suffixes: Sequence[str] = READABLE) -> None:
    """One line that names the files of `place` that might hold rows, and are not among those that are read."""
    taken = set(read)
    left = sorted(name for name in names if name not in taken and not _holds_no_rows(name))
    if left:
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        progress.say(f"{place}: left out: {', '.join(left[:_NAMED])}{more}; what is read ends in {', '.join(suffixes)} and holds rows")


def _holds_no_rows(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last in METADATA or bool(_CACHED.fullmatch(last) or _NO_DATA.fullmatch(last))


def _piece(piece: str) -> str:
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return known.get(piece) or (piece if len(piece) > 2 and piece.startswith("[") else re.escape(piece))
