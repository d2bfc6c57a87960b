"""Check the SQLite files of embedded stores before a library opens them; damaged or locked files give one line with a fix."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tasks.schema.errors import BadInput, WorkspaceBusy

QUICK = 2**28  # bytes up to which every page is checked, in about half a second
WAIT = 20.0  # seconds to wait for another process's lock


def check(path: Path, *, holds: str, loses: str) -> None:
    """Raises BadInput if the file is damaged or cannot be written, WorkspaceBusy if another process keeps it locked.

    For messages: `holds` describes the file's content, `loses` what is lost if the file is moved away.
    """
    if not path.exists():
        return
    with readable(path, holds=holds, loses=loses), closing(sqlite3.connect(path, timeout=WAIT, isolation_level=None)) as base:
        base.execute("BEGIN IMMEDIATE")
        base.execute("ROLLBACK")
        if path.stat().st_size <= QUICK:
            (found,) = base.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(" ".join(str(found).split()))
        else:
            base.execute("SELECT count(*) FROM sqlite_master").fetchone()


@contextmanager
def readable(path: Path, *, holds: str, loses: str) -> Iterator[None]:
    """Turn SQLite's errors in the block into the errors of `explained`."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise explained(path, str(error), holds=holds, loses=loses) from None


def explained(path: Path, problem: str, *, holds: str, loses: str) -> BadInput | WorkspaceBusy:
    """The error for one of SQLite's messages about a file."""
    if "locked" in problem or "busy" in problem:
        return WorkspaceBusy(f"{path} ({holds}): another process keeps it locked; fix: end that process (`fuser {path}` names it)")
    if "readonly" in problem or "read-only" in problem:
        return BadInput(path, f"{holds}: cannot be written (read-only)", fix="make the file and its folder writable")
    if "full" in problem:
        return BadInput(path, f"{holds}: its disk is full", fix="free some space and run again")
    if "unable to open" in problem:
        return BadInput(path, f"{holds}: cannot be opened", fix="check the path and its permissions")
    fix = f"move it aside, `mv {path} {path}.damaged`, and run again; this loses {loses}"
    return BadInput(path, f"{holds}: damaged ({problem})", fix=fix)


def is_damage(problem: str) -> bool:
    """Whether a library's message reports a problem with the file, not with the query."""
    said = (
        "malformed",
        "not a database",
        "database is locked",
        "readonly database",
        "disk I/O error",
        "is full",
        "unable to open database",
    )
    return any(words in problem for words in said)
