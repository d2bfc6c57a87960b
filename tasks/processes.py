"""End child processes with their parent, and identify the process that owns a file (Linux).

The kernel can signal a process when its parent dies. The child must request this between fork and exec; otherwise a parent that dies
during the child's first second leaves the child running. A parent that died before the request is detected by checking the parent's id
afterwards.
"""

import ctypes
import hashlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

PR_SET_PDEATHSIG = 1  # linux/prctl.h
OWNER = "LONGWRITER_OWNER"  # mark of the process that this one works for, which may be an indirect parent (of a launcher)
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None  # at import, because a forked child must not load libraries


def bound(number: int = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` for Popen: the child receives signal `number` when the calling thread ends, for any reason."""
    parent = os.getpid()

    def before_exec() -> None:
        if _prctl:
            _prctl(PR_SET_PDEATHSIG, number)
            if os.getppid() != parent:
                os._exit(128 + number)

    return before_exec


def die_with_parent(number: int = signal.SIGTERM, *, owner: str = "") -> None:
    """Like `bound`, called by the child itself as its first action, if another program started it (such as DVC a stage).

    Exits at once if the parent is gone already, or the process that it works for (mark `owner`, by default from the environment).
    """
    parent = os.getppid()
    if not _prctl:
        return
    _prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent or _was_adopted() or _is_gone(owner or os.environ.get(OWNER, "")):
        os._exit(128 + number)


def die_with_make() -> None:
    """End this process with its parent if the parent is make. Started from a shell, it may outlive the shell."""
    try:
        started_by = Path(f"/proc/{os.getppid()}/comm").read_text().strip()
    except OSError:
        return
    if started_by in ("make", "gmake"):
        die_with_parent()


def _was_adopted() -> bool:
    """Whether a stage's parent is no longer DVC. DVC runs commands in its own session; the process that adopts orphans is in another."""
    if "DVC_STAGE" not in os.environ or os.getsid(0) == os.getpid():
        return False
    try:
        return os.getsid(os.getppid()) != os.getsid(0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False


def own_path() -> str:
    """PATH with the folder of this interpreter first, so that a child's plain `python` is this one though no environment is activated."""
    return os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])


def owned() -> dict[str, str]:
    """Environment for children that must not outlive this process, even if a launcher starts them."""
    return {OWNER: mark()}


def _is_gone(owner: str) -> bool:
    return bool(owner) and not lives(owner)


def mark(pid: int | None = None) -> str:
    """`PID-START`, which distinguishes a process from a later one with the same number. START is in clock ticks since boot."""
    pid = os.getpid() if pid is None else pid
    return f"{pid}-{_started(pid) or 0}"


@cache
def place() -> str:
    """Six hex digits that identify the machine, its boot and its container, within which process numbers are unique."""
    said = [socket.gethostname()]
    for path, read in (("/proc/sys/kernel/random/boot_id", Path.read_text), ("/proc/self/ns/pid", Path.readlink)):
        try:
            said.append(str(read(Path(path))))
        except OSError:
            continue
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:6]


def lives(mark: str) -> bool:
    """Whether the process with this mark still runs."""
    pid, _, start = mark.partition("-")
    return pid.isdecimal() and start.isdecimal() and _started(int(pid)) == int(start)


def _started(pid: int) -> int | None:
    """Start of a process in clock ticks since boot; None if it has ended (also if it is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if sys.platform == "linux" else 0
    return None if fields[0] in "ZX" else int(fields[19])


def family(pid: int) -> list["psutil.Process"]:
    """A process, its descendants and all of its session, with their descendants: a session also has those that lost their parent."""
    import psutil

    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if process.pid == pid or os.getsid(process.pid) == pid:
                found |= {one.pid: one for one in (process, *process.children(recursive=True))}
    return list(found.values())


def end_all(processes: Iterable["psutil.Process"], *, grace: float) -> None:
    """SIGTERM to each, and SIGKILL to those that are left after `grace` seconds. Returns when all are gone, or after twice the grace."""
    import psutil

    left = list(processes)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        left = psutil.wait_procs(left, timeout=grace)[1]
