"""Where the parts are worked on: in this process, in several of this machine, or by the workers of a Dask cluster.

Results come in the order of the parts, whatever ended first, and only a few are under way at a time: memory does not grow with
the input. The work is the same function everywhere, and so is what it returns.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

from tasks import stage
from tasks.schema.errors import BadSettings, PipelineError, SourceError

I = TypeVar("I")  # noqa: E741 (what goes in)
G = TypeVar("G")  # what is given to all
O = TypeVar("O")  # noqa: E741 (what comes out)
PATIENCE = 30  # seconds for a scheduler to answer
AHEAD = 3  # parts under way or waiting, per worker


class _Pending(Protocol):
    def result(self) -> Any: ...


def spread(work: Callable[[I, G], O], items: Iterator[I], given: G, *, processes: int, scheduler: str) -> Iterator[tuple[I, O]]:
    """Each item with `work(item, given)`. `scheduler`: a Dask cluster's address; empty: so many processes, none for a single item."""
    first = list(islice(items, 2))
    if len(first) < 2 or (processes == 1 and not scheduler):
        for item in chain(first, items):
            yield item, work(item, given)
        return
    with _cluster(scheduler, given) if scheduler else _pool(processes, given) as (submit, workers):
        waiting: deque[tuple[I, _Pending]] = deque()
        for item in chain(first, items):
            waiting.append((item, submit(work, item)))
            if len(waiting) >= AHEAD * workers:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)


def _next(waiting: "deque[tuple[I, _Pending]]") -> tuple[I, Any]:
    item, pending = waiting.popleft()
    try:
        return item, pending.result()
    except BrokenProcessPool:
        raise SourceError("a worker process was killed, for memory most likely; set LONGWRITER_SIFTERS to fewer and run again") from None


@contextmanager
def _pool(processes: int, given: Any) -> Iterator[tuple[Callable[..., Future[Any]], int]]:
    """Fresh processes: a fork of one that has threads may hang. They get `given` once."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(given,))
    try:
        yield lambda work, item: pool.submit(_work, work, item), processes
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_given: Any = None  # of a worker process, for all its work


def _begin(given: Any) -> None:
    global _given
    _given = given
    stage.die_with_parent()


def _work(work: Callable[[Any, Any], Any], item: Any) -> Any:
    return work(item, _given)


@contextmanager
def _cluster(address: str, given: Any) -> Iterator[tuple[Callable[..., Any], int]]:
    try:
        from distributed import Client
    except ImportError:
        raise BadSettings("LONGWRITER_DASK_SCHEDULER needs the extra `cluster`: pip install 'dask[distributed]'") from None
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        problem = f"cannot be reached ({type(error).__name__}); check LONGWRITER_DASK_SCHEDULER"
        raise PipelineError(f"Dask scheduler {address}: {problem}") from None
    with client:
        client.wait_for_workers(1, timeout=60)
        workers = sum(client.nthreads().values())
        everywhere = client.scatter(given, broadcast=True, hash=False)
        yield lambda work, item: client.submit(work, item, everywhere, pure=False), max(1, workers)
