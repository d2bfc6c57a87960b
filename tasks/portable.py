"""What differs between operating systems below the evaluator: it runs on Linux, macOS and Windows; the pipeline on Linux.

POSIX modules are imported where they exist. Elsewhere each function says what it does in their place.
"""

import contextlib
import errno
import os
import shutil
from pathlib import Path

try:
    import fcntl
    import resource
except ImportError:  # Windows
    fcntl = resource = None  # type: ignore[assignment]

OPEN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)  # flags of every `os.open`: not inherited, and bytes as they are
_FAR = 2**40  # the byte that Windows locks: its locks keep readers out, and nothing is there


def lock(file: int) -> None:
    """Take an exclusive lock on an open file, until it is closed. Raises BlockingIOError where another process has it."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    at = os.lseek(file, 0, os.SEEK_CUR)
    os.lseek(file, _FAR, os.SEEK_SET)
    try:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        raise BlockingIOError(errno.EAGAIN, "locked by another process") from error
    finally:
        os.lseek(file, at, os.SEEK_SET)


def read_at(file: int, size: int, place: int) -> bytes:
    """Bytes of an open file from a place on. Without `pread` the file's position moves: one thread may use it."""
    if hasattr(os, "pread"):
        return os.pread(file, size, place)
    os.lseek(file, place, os.SEEK_SET)
    return os.read(file, size)


def make_private(path: Path) -> None:
    """Let the owner alone read and write a file. Windows has no such bits; there a home folder is private by its access list."""
    with contextlib.suppress(NotImplementedError):
        path.chmod(0o600)


def is_own(owner: int) -> bool:
    """Whether a file of this owner (`st_uid`) belongs to the user of this process; always so on Windows, which has no such numbers."""
    return not hasattr(os, "getuid") or owner == os.getuid()


def file_size_limit() -> int | None:
    """Bytes that a file of this process may have (RLIMIT_FSIZE); None: no limit."""
    if resource is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if limit == resource.RLIM_INFINITY else limit


def free_bytes(path: str) -> int:
    """Bytes that this user can still write beside a file."""
    return shutil.disk_usage(os.path.dirname(os.path.abspath(path))).free
