"""What a process and all that it has started have used."""

import resource
from contextlib import suppress
from pathlib import Path

import psutil


def cpu_seconds() -> float:
    """CPU of this process, of its ended children, and of its living descendants: a local cluster's workers among them."""
    own = sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
    return own + sum(map(_of, psutil.Process().children(recursive=True)))


def _of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def most_memory(pid: int | None = None) -> int:
    """Bytes that this process, or another, has held at the most until now; 0 once it is over.

    Not getrusage's `ru_maxrss`: a child's begins with what its parent held when it was started.
    """
    with suppress(FileNotFoundError, ProcessLookupError):
        status = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii", errors="replace")
        return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
    return 0
