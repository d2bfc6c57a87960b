"""What a process and all that it has started have used."""

import resource

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
