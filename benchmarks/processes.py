"""CPU time and peak memory of processes, for benchmarks."""

import resource
from contextlib import suppress
from pathlib import Path

import psutil


def cpu_seconds() -> float:
    """CPU seconds of this process, its ended children and its living descendants, including a local cluster's workers."""
    own = sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
    return own + sum(map(_of, psutil.Process().children(recursive=True)))


def _of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def most_memory(pid: int | None = None) -> int:
    """Peak memory in bytes of this process, or of process `pid`, until now; 0 if it has ended.

    It does not use getrusage's `ru_maxrss`, because a child's value begins with its parent's memory at the start.
    """
    with suppress(FileNotFoundError, ProcessLookupError):
        status = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii", errors="replace")
        return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
    return 0
