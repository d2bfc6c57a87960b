"""Operating-system differences for the evaluator, which runs on Linux, macOS and Windows. The rest of the pipeline needs Linux.

POSIX modules are imported if they exist. Each function's docstring says what it does without them.
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

OPEN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)  # for every `os.open`: not inherited, no newline conversion
_FAR = 2**40  # the byte to lock on Windows, beyond the file's end, because Windows locks block readers


def lock(file: int) -> None:
    """Lock an open file exclusively until it is closed. Raises BlockingIOError if another process has the lock."""
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
    """`size` bytes of an open file from byte `place` on. Without `pread` it moves the file's position, so only one thread may use it."""
    if hasattr(os, "pread"):
        return os.pread(file, size, place)
    os.lseek(file, place, os.SEEK_SET)
    return os.read(file, size)


def make_private(path: Path) -> None:
    """Make a file readable and writable by its owner only. Windows has no such bits; there the home folder's access list protects it."""
    with contextlib.suppress(NotImplementedError):
        path.chmod(0o600)


def is_own(owner: int) -> bool:
    """Whether a file with this `st_uid` belongs to this process's user. Always true on Windows, which has no user numbers."""
    return not hasattr(os, "getuid") or owner == os.getuid()


def file_size_limit() -> int | None:
    """This process's limit of a file's size in bytes (RLIMIT_FSIZE); None without a limit or on Windows."""
    if resource is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if limit == resource.RLIM_INFINITY else limit


def free_bytes(path: str) -> int:
    """Free bytes for this user on a file's disk."""
    return shutil.disk_usage(os.path.dirname(os.path.abspath(path))).free
