"""Processes that end with whoever started them, and names that say which process owns a file (Linux).

The kernel can signal a process when its parent dies. The request has to be made before the program begins, in the child between fork and
exec, or else a parent that dies in the child's first second leaves the child running. A parent that died even earlier is found by asking
afterwards who the parent is.
"""

import ctypes
import hashlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
OWNER = "LONGWRITER_OWNER"  # the process for which this one works: it may be no parent, but a launcher's
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None  # looked up here: a forked child may not load libraries


def bound(number: int = signal.SIGTERM) -> Callable[[], None]:
    """For `Popen(preexec_fn=…)`: the child gets this signal when the caller's thread ends, however that happens."""
    parent = os.getpid()

    def before_exec() -> None:
        if _prctl:
            _prctl(PR_SET_PDEATHSIG, number)
            if os.getppid() != parent:
                os._exit(128 + number)

    return before_exec


def die_with_parent(number: int = signal.SIGTERM, *, owner: str = "") -> None:
    """The same for a program that something else started, such as a stage by DVC: as the first thing that it does.

    Ends the process at once where its parent is gone already, or the process for which it works: that of the mark `owner`, or of the
    environment.
    """
    parent = os.getppid()
    if not _prctl:
        return
    _prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent or _was_adopted() or _is_gone(owner or os.environ.get(OWNER, "")):
        os._exit(128 + number)


def die_with_make() -> None:
    """A command that make started ends with it: after a kill -9 of make nobody watches. Started by hand, it may outlive its shell."""
    try:
        started_by = Path(f"/proc/{os.getppid()}/comm").read_text().strip()
    except OSError:
        return
    if started_by in ("make", "gmake"):
        die_with_parent()


def _was_adopted() -> bool:
    """Whether a stage's parent is no longer DVC: DVC starts a command in its own session, and who adopts orphans is in another."""
    if "DVC_STAGE" not in os.environ or os.getsid(0) == os.getpid():
        return False
    try:
        return os.getsid(os.getppid()) != os.getsid(0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False


def owned() -> dict[str, str]:
    """Environment of children that must not outlive this process, even if something else launches them."""
    return {OWNER: mark()}


def _is_gone(owner: str) -> bool:
    return bool(owner) and not lives(owner)


def mark(pid: int | None = None) -> str:
    """A process, told apart from a later one with the same number: `PID-START`, the start in clock ticks since the machine's."""
    pid = os.getpid() if pid is None else pid
    return f"{pid}-{_started(pid) or 0}"


@cache
def place() -> str:
    """Where process numbers mean something: this machine, since it was started, and its container; six hexadecimal digits."""
    said = [socket.gethostname()]
    for path, read in (("/proc/sys/kernel/random/boot_id", Path.read_text), ("/proc/self/ns/pid", Path.readlink)):
        try:
            said.append(str(read(Path(path))))
        except OSError:
            continue
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:6]


def lives(mark: str) -> bool:
    """Whether the process of a mark still runs."""
    pid, _, start = mark.partition("-")
    return pid.isdecimal() and start.isdecimal() and _started(int(pid)) == int(start)


def _started(pid: int) -> int | None:
    """Clock ticks from the machine's start to the process's; None where it is gone, or dead and not yet collected."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if sys.platform == "linux" else 0
    return None if fields[0] in "ZX" else int(fields[19])
