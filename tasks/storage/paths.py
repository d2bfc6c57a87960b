"""Check file names from a manifest or a folder to publish: relative, portable, and inside their root."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from tasks.schema.errors import BadInput

MAX_NAME, MAX_PATH = 255, 900  # bytes: file systems' limit for a name; below S3's limit of 1,024 for a key, to leave room for the prefix
_DRIVE = re.compile(r"^[A-Za-z]:")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def problem(path: str) -> str | None:
    """Why this path must not be used below a root; None if it may. A valid path is POSIX, relative, without `.`, `..` and empty parts."""
    parts = path.split("/")
    reasons = {
        "empty": not path,
        "absolute": path.startswith("/"),
        "a drive, a UNC path or a backslash": "\\" in path or bool(_DRIVE.match(path)),
        "a control character": any(unicodedata.category(character) in ("Cc", "Cs") for character in path),
        "an empty part": "" in parts,
        "`.` or `..`": any(part.strip(". ") == "" and part for part in parts),
        f"a name of more than {MAX_NAME} bytes": any(len(part.encode("utf-8", "replace")) > MAX_NAME for part in parts),
        f"more than {MAX_PATH} bytes": len(path.encode("utf-8", "replace")) > MAX_PATH,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def check(paths: Iterable[str], *, source: str) -> None:
    """Raises BadInput for the first path that is unsafe, a duplicate (ignoring case), or both a file and a folder."""
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        if reason := problem(path):
            raise BadInput(source, f"file name {path[:80]!r} refused: {reason}", fix="rename it")
        key = unicodedata.normalize("NFC", path).casefold()
        above = [key[:at] for at, character in enumerate(key) if character == "/"]
        if clash := files.get(key) or folders.get(key) or next((files[folder] for folder in above if folder in files), None):
            raise BadInput(source, f"file name {path!r} refused: it conflicts with {clash!r} on some file systems", fix="rename one")
        files[key] = path
        folders.update(dict.fromkeys(above, path))


def files(folder: Path) -> list[Path]:
    """A folder's regular files, sorted. Raises BadInput if it has none, or has a link or anything else that is neither file nor folder."""
    if not folder.is_dir():
        raise BadInput(folder, "no such folder", fix="check the path, or run the stage that makes it: `longwriter run`")
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BadInput(path, "neither a file nor a folder", fix="put the file itself there; links are not followed")
        if path.is_file():
            found.append(path)
    if not found:
        raise BadInput(folder, "no files in it", fix="give a folder with files")
    check((path.relative_to(folder).as_posix() for path in found), source=str(folder))
    return found


def plain_name(name: str, *, what: str) -> str:
    """`name` unchanged, a collection, version or alias. Raises BadInput unless it is a-z, 0-9, `.`, `_`, `-`, at most 64 characters."""
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise BadInput(f"{name[:80]!r}", f"not fit for {what}", fix="use a-z, 0-9, `.`, `_` and `-`, at most 64 of them")
    return name
