"""Apply a function to many parts: in this process, in several processes of this machine, or on the workers of a Ray cluster.

Results are in the order of the parts. Only a few parts are in progress at a time, so memory does not grow with the input.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import get_context
from typing import Any, Generic, NamedTuple, TypeVar

from tasks import progress
from tasks.cluster.engine import TRIES, WorkerDied, engine
from tasks.processes import die_with_parent, mark
from tasks.schema.errors import PipelineError, SourceError
from tasks.schema.settings import settings

Item = TypeVar("Item")
Shared = TypeVar("Shared")
Result = TypeVar("Result")
AHEAD = 3  # parts per worker that are running or waiting

Start = Callable[[Item], Future[Result]]


class _Pending(NamedTuple, Generic[Item, Result]):
    item: Item
    future: Future[Result]


def parallel_map(
    work: Callable[[Item, Shared], Result], items: Iterator[Item], shared: Shared, *, processes: int
) -> Iterator[tuple[Item, Result]]:
    """Yields (item, `work(item, shared)`) for each item, in order: on the Ray cluster of LONGWRITER_CLUSTER if set, else in `processes`
    local processes.

    This process does the work if there is only one item, or if `processes` is 1 and there is no cluster. `work` must be a module-level
    function, because it is pickled with items, `shared` and results. Raises the errors of `work`, SourceError if a process is killed,
    and PipelineError if the worker of one item dies TRIES times.
    """
    first, cluster = list(islice(items, 2)), settings().cluster
    if len(first) < 2 or (processes == 1 and not cluster):
        for item in chain(first, items):
            yield item, work(item, shared)
        return
    with _cluster(work, shared) if cluster else _pool(work, shared, processes) as (start, workers):
        waiting: deque[_Pending[Item, Result]] = deque()
        for item in chain(first, items):
            waiting.append(_Pending(item, start(item)))
            if len(waiting) >= AHEAD * workers:
                yield _next(waiting, start)
        while waiting:
            yield _next(waiting, start)


def _next(waiting: deque[_Pending[Item, Result]], start: Start[Item, Result]) -> tuple[Item, Result]:
    item, future = waiting.popleft()
    for _ in range(TRIES):
        try:
            return item, future.result()
        except BrokenProcessPool:
            problem = "a worker process was killed, most likely because memory ran out"
            raise SourceError(f"{problem}; fix: set LONGWRITER_SIFTERS to a lower number and run again") from None
        except WorkerDied as error:
            progress.say(f"cluster: a worker died ({error}); its part is tried again")
            why, future = str(error), start(item)
    raise PipelineError(f"{TRIES} workers of the cluster died over one part ({why}); fix: give workers more memory and run again")


@contextmanager
def _pool(work: Callable[[Item, Shared], Result], shared: Shared, processes: int) -> Iterator[tuple[Start[Item, Result], int]]:
    """Spawned processes, because a fork of a process with threads may hang. Each gets `shared` once."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(shared, mark()))
    try:
        yield lambda item: pool.submit(_work, work, item), processes
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_shared: Any = None  # in a worker process: the value for all its parts


def _begin(shared: object, owner: str) -> None:
    global _shared
    _shared = shared
    die_with_parent(owner=owner)


def _work(work: Callable[[Item, Shared], Result], item: Item) -> Result:
    return work(item, _shared)


@contextmanager
def _cluster(work: Callable[[Item, Shared], Result], shared: Shared) -> Iterator[tuple[Start[Item, Result], int]]:
    there = engine()
    everywhere = there.put(shared)
    yield lambda item: there.submit(work.__name__, work, item, everywhere), there.workers()
