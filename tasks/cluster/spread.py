"""A plain function over many parts: here, in several processes of this machine, or by the workers of a Ray cluster.

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
from typing import Any, NamedTuple, TypeVar

from tasks.cluster.engine import TRIES, Lost, engine
from tasks.processes import die_with_parent, mark
from tasks.schema.errors import PipelineError, SourceError
from tasks.schema.settings import settings

I = TypeVar("I")  # noqa: E741 (what goes in)
G = TypeVar("G")  # what is given to all
O = TypeVar("O")  # noqa: E741 (what comes out)
AHEAD = 3  # parts under way or waiting, per worker

Start = Callable[[Any], "Future[Any]"]


class _Pending(NamedTuple):
    item: Any
    future: "Future[Any]"


def spread(work: Callable[[I, G], O], items: Iterator[I], given: G, *, processes: int) -> Iterator[tuple[I, O]]:
    """Each item with `work(item, given)`: on the settings' cluster, else in so many processes; a single item in this one.

    Raises what `work` raises, and PipelineError for a part that killed TRIES workers.
    """
    first, cluster = list(islice(items, 2)), settings().cluster
    if len(first) < 2 or (processes == 1 and not cluster):
        for item in chain(first, items):
            yield item, work(item, given)
        return
    with _cluster(work, given) if cluster else _pool(work, given, processes) as (start, workers):
        waiting: deque[_Pending] = deque()
        for item in chain(first, items):
            waiting.append(_Pending(item, start(item)))
            if len(waiting) >= AHEAD * workers:
                yield _next(waiting, start)
        while waiting:
            yield _next(waiting, start)


def _next(waiting: deque[_Pending], start: Start) -> tuple[Any, Any]:
    item, future = waiting.popleft()
    for _ in range(TRIES):
        try:
            return item, future.result()
        except BrokenProcessPool:
            fix = "for memory most likely; set LONGWRITER_SIFTERS to fewer and run again"
            raise SourceError(f"a worker process was killed; fix: {fix}") from None
        except Lost as lost:
            why, future = str(lost), start(item)
    raise PipelineError(f"{TRIES} workers of the cluster died over one part ({why}); look after its memory and run again")


@contextmanager
def _pool(work: Callable[[Any, Any], Any], given: Any, processes: int) -> Iterator[tuple[Start, int]]:
    """Fresh processes: a fork of one that has threads may hang. They get `given` once."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(given, mark()))
    try:
        yield lambda item: pool.submit(_work, work, item), processes
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_given: Any = None  # of a worker process, for all its work


def _begin(given: Any, owner: str) -> None:
    global _given
    _given = given
    die_with_parent(owner=owner)


def _work(work: Callable[[Any, Any], Any], item: Any) -> Any:
    return work(item, _given)


@contextmanager
def _cluster(work: Callable[[Any, Any], Any], given: Any) -> Iterator[tuple[Start, int]]:
    there = engine()
    everywhere = there.put(given)
    yield lambda item: there.submit(work.__name__, work, item, everywhere), there.workers()
