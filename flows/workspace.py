"""Lock a workspace for one run, because two runs would overwrite each other's stages and DVC allows one command at a time."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.schema.errors import WorkspaceBusy
from tasks.schema.settings import settings
from tasks.store import private_folder

_depth = 0


@contextmanager
def lock() -> Iterator[None]:
    """Lock the workspace until the block ends. May be nested in one process. Raises WorkspaceBusy if another process has the lock.

    The kernel releases the lock when its process ends, for any reason.
    """
    global _depth
    if _depth:
        yield
        return
    path = settings().home / "run.lock"
    private_folder(path.parent)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise WorkspaceBusy(f"{path}: {holder} runs in this workspace; wait for it or end it, then run again") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        _depth += 1
        try:
            yield
        finally:
            _depth -= 1
            file.truncate(0)
