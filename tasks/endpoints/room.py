"""Room on the disk for replies under way: taken before a call is paid, so that its answer can be kept."""

import ctypes
import errno
import os
import sys

from tasks import portable

KEEP_SIZE = 0x01  # linux/falloc.h: blocks are reserved beyond the end of a file, which does not become longer
NOT_OFFERED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # by this file system


def check_limit(path: str, size: int) -> None:
    """Raises OSError where this process may not write a file of so many bytes (RLIMIT_FSIZE)."""
    limit = portable.file_size_limit()
    if limit is not None and size > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)


def reserve(file: int, path: str, *, start: int, size: int) -> None:
    """Blocks for bytes that will be appended to an open file. Where they cannot be reserved, the free space has to do.

    Raises OSError when the disk or the quota has no room for them.
    """
    code = _fallocate(file, start, size)
    if code in NOT_OFFERED:
        code = 0 if portable.free_bytes(path) >= size else errno.ENOSPC
    if code:
        raise OSError(code, os.strerror(code), path)


def _fallocate(file: int, start: int, size: int) -> int:
    """0, or the error's number."""
    if sys.platform != "linux":
        return errno.ENOSYS
    libc = ctypes.CDLL(None, use_errno=True)
    while libc.fallocate(file, KEEP_SIZE, ctypes.c_longlong(start), ctypes.c_longlong(size)):
        if (code := ctypes.get_errno()) != errno.EINTR:
            return code
    return 0
