"""Match glob patterns against keys of a bucket or files of a dataset, and find the data files of a folder.

In a folder every data file is read, of any format and split. Other files are named in one line, unless they are known to contain no
rows: a README, a licence, metadata of `datasets`.
"""

import re
from collections.abc import Iterable, Sequence

from tasks import progress

LINES = (".jsonl", ".ndjson", ".json")
READABLE = (*LINES, *(f"{name}{end}" for name in LINES for end in (".gz", ".zst")), ".parquet", ".arrow")  # suffixes of data files
METADATA = frozenset(("dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json"))  # files of `datasets`
_CACHED = re.compile(r"cache-[0-9a-f]+(?:_\d+_of_\d+)?\.arrow")  # cache files of `datasets`
_NO_DATA = re.compile(
    r"(?:readme|licen[cs]e|copying|changelog|notice|citation)(?:[._-].*)?|.*\.(?:md|rst|dvc|py|ya?ml|cff|lock)", re.IGNORECASE
)
_NAMED = 3  # files named in the line about files that are not read
_PIECE = re.compile(r"\*\*/?|\*|\?|\[[^\]]+\]|.", re.DOTALL)


def fixed_prefix(pattern: str) -> str:
    """The text before the first wildcard of a pattern."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Names that match, or readable files of the folder that `pattern` names. `*` does not match `/`, `**` does."""
    names = list(names)
    if fixed_prefix(pattern) != pattern:
        form = re.compile("".join(_piece(piece) for piece in _PIECE.findall(pattern)))
        return [name for name in names if form.fullmatch(name)]
    return [pattern] if pattern in names else data_files(below(pattern, names))


def below(folder: str, names: Iterable[str]) -> list[str]:
    """Names inside a folder at any depth, without hidden files and folders. An empty `folder` is the root."""
    start = folder.rstrip("/") + "/" if folder else ""
    return [name for name in names if name.startswith(start) and not any(part.startswith(".") for part in name[len(start) :].split("/"))]


def data_files(names: Iterable[str], suffixes: tuple[str, ...] = READABLE) -> list[str]:
    """The names that are data files."""
    return [name for name in names if name.endswith(suffixes) and not _holds_no_rows(name)]


def say_left_out(place: str, names: Iterable[str], read: Iterable[str], suffixes: Sequence[str] = READABLE) -> None:
    """Print one line that names files of `place` which may contain rows and are not read. Nothing if there are none."""
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
