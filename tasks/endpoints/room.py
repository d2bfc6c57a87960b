"""Reserves disk space for replies in flight, before a call is paid, so that its reply can be recorded."""

import ctypes
import errno
import os
import sys

from tasks import portable

KEEP_SIZE = 0x01  # linux/falloc.h: reserve blocks beyond the end of a file without changing its length
NOT_OFFERED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # fallocate is not supported by this file system


def check_limit(path: str, size: int) -> None:
    """Raises OSError if this process may not write a file of `size` bytes (RLIMIT_FSIZE)."""
    limit = portable.file_size_limit()
    if limit is not None and size > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)


def reserve(file: int, path: str, *, start: int, size: int) -> None:
    """Reserves blocks for bytes that will be appended to an open file. If the file system cannot reserve, checks the free space instead.

    Raises OSError if the disk or the quota does not have enough space.
    """
    code = _fallocate(file, start, size)
    if code in NOT_OFFERED:
        code = 0 if portable.free_bytes(path) >= size else errno.ENOSPC
    if code:
        raise OSError(code, os.strerror(code), path)


def _fallocate(file: int, start: int, size: int) -> int:
    """Returns 0, or the error number."""
    if sys.platform != "linux":
        return errno.ENOSYS
    libc = ctypes.CDLL(None, use_errno=True)
    while libc.fallocate(file, KEEP_SIZE, ctypes.c_longlong(start), ctypes.c_longlong(size)):
        if (code := ctypes.get_errno()) != errno.EINTR:
            return code
    return 0
