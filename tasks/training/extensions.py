"""The folder of PyTorch's compiled extensions, without locks that killed builds left behind. DeepSpeed compiles some at its first start.

torch marks a build by a file (torch.utils.file_baton). A build that was killed leaves it, and every later training waits for it forever,
without a message. So the extensions are in the workspace, and such files are removed while no training of the workspace runs.
"""

import fcntl
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

VARIABLE = "TORCH_EXTENSIONS_DIR"
FOLDER, USERS, BUILDS = "extensions", "users.lock", "lock"  # the folder below settings.home; our lock; torch's file in each build's folder


def environment(home: Path) -> dict[str, str]:
    """The variable for a training process, unless the user set it."""
    return {} if VARIABLE in os.environ else {VARIABLE: str(home.absolute() / FOLDER)}


def use(home: Path, *, given: Mapping[str, str] = os.environ) -> int | None:
    """Remove locks of killed builds, if no other training of the workspace runs. Returns a file descriptor that trainings have to inherit:
    it says that one runs, and the kernel closes it when the last of them ends. None if the user set another folder.
    """
    if VARIABLE in given:
        return None
    folder = home.absolute() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    users = os.open(folder / USERS, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another training runs and may compile, or a file system without locks
        left_behind: Iterable[Path] = ()
    else:
        left_behind = folder.rglob(BUILDS)
    for path in left_behind:
        path.unlink(missing_ok=True)
    with suppress(OSError):  # a file system without locks
        fcntl.flock(users, fcntl.LOCK_SH)
    return users
