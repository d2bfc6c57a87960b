"""Run DVC with a verified cache: `python -m flows.verified_dvc repro` is `dvc repro`, but never restores a damaged object.

DVC assumes that a write-protected object of its local cache is intact, and copies it into the workspace without reading it. This module
hashes each object before DVC uses it. A verified object is remembered by its inode, size and times, so that a run without changes reads
no object again. A damaged object is moved away with a warning. DVC then finds it missing: it is restored from the workspace's file if
that is intact, fetched from the remote, or its stage runs again. Objects from a remote are verified too.

The module replaces `LocalHashFileDB.check`, because DVC 3 has no option to verify its own cache.
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
from dvc.stage import Stage
from dvc_data.fsutils import _localfs_info
from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.db.local import LocalHashFileDB
from dvc_data.hashfile.hash import hash_file
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError

from tasks import progress, store
from tasks.processes import own_path
from tasks.schema.settings import settings
from tasks.stage import fail_if_known

if TYPE_CHECKING:
    from dvc.repo import Repo

SITE_CACHE = Path(".longwriter/dvc")  # core.site_cache_dir of .dvc/config, below the checkout's root
STUDY = "study/"  # the beginning of the study's stages and of its dvc.yaml
NOWHERE = 4  # exit code of `restore NAME`: no cache has the stage's result
LARGE = 2**28  # bytes; hashing a larger object is announced
LOCKS = ("dvc.lock", "*/dvc.lock")

_unverified_load = Tree.load.__func__  # type: ignore[attr-defined]
_pulling_reproduce = Stage.reproduce


def install() -> None:
    """Make DVC verify every cache object in this process before it uses the object."""
    keep_private()
    release_dead()
    LocalHashFileDB.check = _check  # type: ignore[method-assign]
    HashFileDB.DEFAULT_VERIFY = True  # objects from a remote
    Tree.load = classmethod(_load)  # type: ignore[assignment, method-assign]
    Stage.reproduce = _reproduce


def see_study(*targets: str | None) -> None:
    """Let DVC see study/dvc.yaml in this process if a target is of the study, else not: .dvcignore excludes it from other commands."""
    from dvc.ignore import DvcIgnore

    study = any(target and target.startswith(STUDY) for target in targets)
    DvcIgnore.DVCIGNORE_FILE = ".dvcignore.study" if study else ".dvcignore"


def keep_private() -> None:
    """Create DVC's site cache with access for its owner only. DVC unpickles its files, and would make the folder writable by everyone."""
    if Path(".dvc").is_dir():
        (SITE_CACHE / "repo").mkdir(parents=True, exist_ok=True)
        for folder in (SITE_CACHE, SITE_CACHE / "repo"):
            folder.chmod(stat.S_IRWXU)
        _name_absolutely()


def _name_absolutely() -> None:
    """Write the absolute path of the site cache to .dvc/config.local, which git ignores. `dvc exp run --dry` works in a temporary folder,
    where the relative path of .dvc/config leads nowhere; DVC copies config.local there. A path that the user chose is kept.
    """
    from dvc.config import Config, ConfigError

    wanted = str(SITE_CACHE.absolute())
    with suppress(ConfigError):  # DVC itself reports a broken file
        config = Config(".dvc", validate=False)
        before = config.load_one("local").get("core", {}).get("site_cache_dir", "")
        if before != wanted and (not before or before.endswith(f"/{SITE_CACHE}")):
            with config.edit("local", validate=False) as local:
                local.setdefault("core", {})["site_cache_dir"] = wanted


def release_dead() -> None:
    """Remove the entries of dead processes from DVC's list of locked paths; remove the list if it is unreadable.

    DVC removes an entry only if no process has its number. Numbers are reused, and such an entry would block every run.
    """
    file = Path(".dvc/tmp/rwlock")
    if not file.is_file():
        return
    from zc.lockfile import LockError, LockFile  # type: ignore[import-untyped]

    try:
        guard = LockFile(f"{file}.lock")  # DVC's lock of the list
    except LockError:
        return  # a running DVC command uses the list
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
    """Whether the DVC command that wrote the entry is still running."""
    try:
        words = psutil.Process(holder["pid"]).cmdline()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    _, _, arguments = str(holder["cmd"]).partition(" ")
    return " ".join(words).endswith(arguments) and any("dvc" in word for word in words)


def _check(self: LocalHashFileDB, oid: str, check_hash: bool = True, _info: dict[str, object] | None = None) -> Meta:
    """Like DVC's method, but hashes the object. Raises FileNotFoundError for a missing object, ObjectFormatError for a damaged one."""
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


def _load(cls: type[Tree], odb: HashFileDB, hash_info: HashInfo, hash_name: str | None = None) -> Tree:
    """Load a folder's list of files after verifying the list itself."""
    if isinstance(odb, LocalHashFileDB):
        odb.check(str(hash_info.value))
    loaded: Tree = _unverified_load(cls, odb, hash_info, hash_name)
    return loaded


def _reproduce(self: Stage, interactive: bool = False, **given: Any) -> "Stage | None":
    """Run a stage with an effect in the model registry if its result is not here. With `--pull` DVC takes it as up to date: outputs
    that no cache has count as fetched.
    """
    from flows.outside import is_outside

    if given.get("pull") and is_outside(self):
        given["pull"] = False
    return _pulling_reproduce(self, interactive, **given)


def _set_aside(odb: LocalHashFileDB, path: Path, oid: str) -> None:
    """Move a damaged object out of the cache, with a warning that names its output. It is not deleted, because parts may be usable."""
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
    """The output that an object belongs to, from the lock files in the working directory; None if unknown."""
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
    """(path, MD5) of each output in the lock files."""
    from dvc.utils.serialize import ParseError, load_yaml

    for pattern in LOCKS:
        for file in Path().glob(pattern):
            with suppress(ParseError, OSError, AttributeError, KeyError, TypeError):
                for stage in load_yaml(str(file))["stages"].values():
                    for out in stage.get("outs", ()):
                        yield str(out["path"]), str(out["md5"])


class _Verified:
    """A database of verified objects with their inode, size and times. If it is lost, objects are only hashed again."""

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
            except sqlite3.DatabaseError:  # the database itself is damaged
                self._file.unlink(missing_ok=True)
                self._base = self._made()
        return self._base

    def _made(self) -> sqlite3.Connection:
        base = sqlite3.connect(self._file, timeout=10, check_same_thread=False)
        base.execute("PRAGMA synchronous=OFF")
        base.execute("CREATE TABLE IF NOT EXISTS verified (path TEXT PRIMARY KEY, stamp TEXT NOT NULL)")
        return base


def _stamp(path: Path) -> str:
    """A string that changes with the file's content, because no program can set a file's ctime."""
    found = path.stat()
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


@cache
def _memory(file: Path) -> _Verified:
    return _Verified(file)


def _verified() -> _Verified:
    return _memory(settings().home.absolute() / "verified.db")


def put_back(stages: Iterable["Stage"]) -> None:
    """Restore missing or damaged cache objects from the workspace, if the output there still matches the lock file."""
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
    """Run changed stages by DVC alone, without Prefect. Restored outputs are verified."""
    sys.exit(main(["repro", *(targets or [])]))


def main(argv: list[str]) -> int:
    """Run DVC's command line; returns its exit code. `restore NAME` is `repro --single-item --pull NAME` that never runs the stage."""
    from dvc.cli import main as dvc
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    os.environ["PATH"] = own_path()  # stages call plain `python`
    try:
        install()
    except OSError as error:
        fail_if_known(error)
        raise
    see_study(*argv)
    _tell_fetches()
    if argv[:1] == ["restore"]:
        return _restore(argv[1])
    if argv[:1] in (["repro"], ["checkout"], ["pull"]) and "--single-item" not in argv:
        with suppress(DvcException), Repo() as repo:  # DVC itself reports a broken project, below
            put_back_all(repo)
    if argv[:1] == ["repro"] and "--single-item" not in argv:
        _ask_outside()
    return int(dvc(argv))


def _ask_outside() -> None:
    """Remove results that the model registry contradicts, as a flow does."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    from flows import outside
    from tasks.stage import one_line_errors

    with one_line_errors(), suppress(DvcException), Repo() as repo:
        for line in outside.forget(repo):
            progress.say(line)


def _restore(name: str) -> int:
    """Restore a stage's outputs from the caches; NOWHERE if they have none for its inputs. Stale outputs are removed."""
    import dvc.stage.run
    from dvc.cli import main as dvc_main
    from dvc.exceptions import DvcException

    refused = []

    def refuse(stage: "Stage", dry: bool = False, run_env: object = None) -> None:
        refused.append(stage.addressing)
        raise DvcException("no cache has a result of it for these inputs")

    dvc.stage.run.cmd_run = refuse
    code = int(dvc_main(["repro", "--single-item", "--pull", name]))
    return NOWHERE if refused else code


def _tell_fetches() -> None:
    """Print a line if outputs are fetched from DVC's remote, because DVC does not tell them from those of the local cache."""
    from dvc.data_cloud import DataCloud

    pull = DataCloud.pull

    def told(self: DataCloud, *arguments: Any, **named: Any) -> Any:
        done = pull(self, *arguments, **named)
        if done.transferred:
            print(f"fetched from DVC's remote: {len(done.transferred)} files", flush=True)
        return done

    DataCloud.pull = told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
