"""DVC with a verified cache: `python -m flows.verified_dvc repro` is `dvc repro` that restores no damaged object.

DVC takes a write-protected object of its local cache for whole and copies it into the workspace unread. Here each object is hashed before
DVC may use it. One that was verified is remembered by its inode, size and times, so that a run that changes nothing reads no object again.
A damaged object is moved aside and named; DVC then finds it missing: it is made from the workspace's own file where that one is whole,
fetched from the remote, or its stage runs again. Objects that arrive from a remote are verified too.

`LocalHashFileDB.check` is replaced for this: DVC 3 has no option that makes it read the objects of its own cache.
"""

import os
import secrets
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import psutil
import typer
from dvc_data.fsutils import _localfs_info
from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.db.local import LocalHashFileDB
from dvc_data.hashfile.hash import hash_file
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError

from tasks import progress, store
from tasks.schema.settings import settings

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

SITE_CACHE = Path(".longwriter/dvc")  # core.site_cache_dir of .dvc/config, below the checkout's root
LARGE = 2**28  # bytes; hashing a larger object is announced
LOCKS = ("dvc.lock", "*/dvc.lock")

_unverified_load = Tree.load.__func__  # type: ignore[attr-defined]


def install() -> None:
    """From here on, in this process, DVC uses no object of a local cache whose content is not what its name says."""
    keep_private()
    release_dead()
    LocalHashFileDB.check = _check  # type: ignore[method-assign]
    HashFileDB.DEFAULT_VERIFY = True  # of what a remote sends
    Tree.load = classmethod(_load)  # type: ignore[assignment, method-assign]


def keep_private() -> None:
    """DVC unpickles what lies in its site cache, and would make the folder writable by every account."""
    if Path(".dvc").is_dir():
        (SITE_CACHE / "repo").mkdir(parents=True, exist_ok=True)
        for folder in (SITE_CACHE, SITE_CACHE / "repo"):
            folder.chmod(stat.S_IRWXU)


def release_dead() -> None:
    """Drop what dead processes hold in DVC's own list of locked paths, and the list itself where it cannot be read.

    DVC drops an entry only while no process has its number. Numbers are used again, and the entry would then block every run.
    """
    file = Path(".dvc/tmp/rwlock")
    if not file.is_file():
        return
    from zc.lockfile import LockError, LockFile  # type: ignore[import-untyped]

    try:
        guard = LockFile(f"{file}.lock")  # DVC's own, held while the list is read and written
    except LockError:
        return  # a living DVC command is at it
    try:
        found = orjson.loads(file.read_bytes())
        write = {path: holder for path, holder in found.get("write", {}).items() if _lives(holder)}
        read = {path: [holder for holder in holders if _lives(holder)] for path, holders in found.get("read", {}).items()}
        left = {"write": write, "read": {path: holders for path, holders in read.items() if holders}}
        if left != {"write": found.get("write", {}), "read": found.get("read", {})}:
            store.write_json(file, left)
    except (ValueError, TypeError, KeyError, AttributeError):
        file.unlink(missing_ok=True)
    finally:
        guard.close()


def _lives(holder: dict[str, Any]) -> bool:
    """Whether the process with this number is still the DVC command that wrote the entry."""
    try:
        words = psutil.Process(holder["pid"]).cmdline()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    _, _, arguments = str(holder["cmd"]).partition(" ")
    return " ".join(words).endswith(arguments) and any("dvc" in word for word in words)


def _check(self: LocalHashFileDB, oid: str, check_hash: bool = True, _info: dict[str, Any] | None = None) -> Meta:
    """As DVC's own, but the object is read. Raises FileNotFoundError for a missing object, ObjectFormatError for a damaged one."""
    path = Path(self.oid_to_path(oid))
    info = _localfs_info(str(path))
    if check_hash and not _verified().knows(path):
        if info["size"] >= LARGE:
            progress.say(f"verifying {path} ({info['size'] / 2**30:.1f} GiB)")
        _, found = hash_file(str(path), self.fs, self.hash_name)
        if str(found.value).split(".")[0] != oid.split(".")[0]:
            _set_aside(self, path, oid)
            raise ObjectFormatError(f"{path} is damaged")
        self.protect(str(path))
        _verified().remember(path)
    return Meta.from_info(info)


def _load(cls: type[Tree], odb: HashFileDB, hash_info: Any, hash_name: str | None = None) -> Tree:
    """A folder's list, read only where its own digest is right."""
    if isinstance(odb, LocalHashFileDB):
        odb.check(hash_info.value)
    loaded: Tree = _unverified_load(cls, odb, hash_info, hash_name)
    return loaded


def _set_aside(odb: LocalHashFileDB, path: Path, oid: str) -> None:
    """Move a damaged object out of the cache, and say whose it is. It is never removed: a part of it may be worth something."""
    place = Path(odb.path)
    folder = (place.parents[1] if place.parts[-2:] == ("files", "md5") else place) / "damaged"
    told = f"warning: {owner(oid, odb) or 'an output'}: its object in DVC's cache is damaged ({path})"
    aside = folder / f"{oid}.{secrets.token_hex(4)}"
    try:
        folder.mkdir(exist_ok=True)
        os.replace(path, aside)
    except OSError as error:
        progress.say(f"{told} and could not be moved aside: {error.strerror}; it is not used")
        return
    progress.say(f"{told}; moved to {aside}, and made or fetched again")


def owner(oid: str, odb: LocalHashFileDB) -> str | None:
    """The output that an object belongs to, as the lock files of the working directory have it."""
    for path, digest in _locked():
        if digest == oid:
            return path
        if digest.endswith(".dir"):
            with suppress(OSError, ValueError, TypeError, KeyError):
                for entry in orjson.loads(Path(odb.oid_to_path(digest)).read_bytes()):
                    if entry["md5"] == oid:
                        return f"{path}/{entry['relpath']}"
    return None


def _locked() -> Iterator[tuple[str, str]]:
    """Path and MD5 of each output in the lock files."""
    from dvc.utils.serialize import ParseError, load_yaml

    for pattern in LOCKS:
        for file in Path().glob(pattern):
            with suppress(ParseError, OSError, AttributeError, KeyError, TypeError):
                for stage in load_yaml(str(file))["stages"].values():
                    for out in stage.get("outs", ()):
                        yield str(out["path"]), str(out["md5"])


class _Verified:
    """Objects that were hashed and right, each with its inode, size and times. Losing it costs time only."""

    def __init__(self, file: Path) -> None:
        self._file, self._lock = file, threading.Lock()
        self._base: sqlite3.Connection | None = None

    def knows(self, path: Path) -> bool:
        with self._lock, suppress(sqlite3.Error, OSError):
            row = self._open().execute("SELECT stamp FROM verified WHERE path = ?", (str(path),)).fetchone()
            return row is not None and row[0] == _stamp(path)
        return False

    def remember(self, path: Path) -> None:
        with self._lock, suppress(sqlite3.Error, OSError), self._open() as base:
            base.execute("INSERT OR REPLACE INTO verified VALUES (?, ?)", (str(path), _stamp(path)))

    def _open(self) -> sqlite3.Connection:
        if self._base is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._base = self._made()
            except sqlite3.DatabaseError:  # damaged itself
                self._file.unlink(missing_ok=True)
                self._base = self._made()
        return self._base

    def _made(self) -> sqlite3.Connection:
        base = sqlite3.connect(self._file, timeout=10, check_same_thread=False)
        base.execute("PRAGMA synchronous=OFF")
        base.execute("CREATE TABLE IF NOT EXISTS verified (path TEXT PRIMARY KEY, stamp TEXT NOT NULL)")
        return base


def _stamp(path: Path) -> str:
    """What changes with a file's content: its change time cannot be set by hand."""
    found = path.stat()
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


@cache
def _memory(file: Path) -> _Verified:
    return _Verified(file)


def _verified() -> _Verified:
    return _memory(settings().home.absolute() / "verified.db")


def put_back(stages: Iterable["Stage"]) -> None:
    """Objects that the cache lost, or that were damaged there, from the workspace, where the output is still what the lock file says."""
    for stage in stages:
        for out in stage.outs:
            if out.use_cache and out.hash_info and out.changed_cache() and out.exists and out.hash_info == out.get_hash():
                out.commit(relink=False)
                progress.say(f"{out}: put back into DVC's cache from the workspace")


def put_back_all(repo: "Repo") -> None:
    with repo.lock:
        put_back(stage for stage in repo.index.stages if stage.cmd)


def repro(
    targets: Annotated[list[str] | None, typer.Argument(help="stages, as `longwriter stages` lists them; all by default")] = None,
) -> None:
    """Run what changed by DVC alone, without Prefect. What is restored is verified."""
    sys.exit(main(["repro", *(targets or [])]))


def main(argv: list[str]) -> int:
    """DVC's command line; the exit code."""
    from dvc.cli import main as dvc
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    install()
    if argv[:1] in (["repro"], ["checkout"], ["pull"]) and "--single-item" not in argv:
        with suppress(DvcException), Repo() as repo:  # what is wrong with the project is said by DVC itself, below
            put_back_all(repo)
    return int(dvc(argv))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
