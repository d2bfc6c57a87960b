"""Draw general data at a ratio: two passes over the sources' rows, with a file of the accepted records between them.

The draw uses a hash of seed and id, so the order of rows and files does not change it. Memory holds one hash per accepted record.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from heapq import nsmallest
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from tasks import progress, store
from tasks.schema.errors import GateFailed
from tasks.schema.records import Pair, Reason, Reject, Sample

R = TypeVar("R", Sample, Pair)


class Wanted(NamedTuple, Generic[R]):
    """What is drawn."""

    record: type[R]
    stage: str
    noun: str  # for messages, such as "general chats"
    number: int  # of records


class Mix(Generic[R]):
    """The drawn records, and a Reject for every other row. Valid inside `mixed`."""

    def __init__(self, wanted: Wanted[R], fit: Path, unfit: Path, ids: frozenset[str]) -> None:
        self._wanted: Wanted[R] = wanted
        self._fit, self._unfit, self._ids = fit, unfit, ids

    def __len__(self) -> int:
        return len(self._ids)

    def taken(self) -> Iterator[R]:
        """The drawn records, in file order."""
        return (one for one in _read(self._fit, self._wanted.record) if one.id in self._ids)

    def rejects(self) -> Iterator[Reject]:
        """The rows that cannot be used, then the accepted records that were not drawn."""
        yield from _read(self._unfit, Reject)
        detail = f"the ratio asks for {self._wanted.number:,}"
        for one in _read(self._fit, self._wanted.record):
            if one.id not in self._ids:
                yield Reject(id=one.id, stage=self._wanted.stage, reason=Reason.NOT_DRAWN, detail=detail, source=one.source)


@contextmanager
def mixed(wanted: Wanted[R], found: Iterable[R | Reject], folder: Path, *, seed: int) -> Iterator[Mix[R]]:
    """Draw `wanted.number` of the records in `found`, which is not read if the number is 0.

    The temporary files in `folder` are removed at the end. Raises GateFailed if there are fewer accepted records.
    """
    fit, unfit = folder / ".fit.jsonl", folder / ".unfit.jsonl"
    store.write(fit, _sift(wanted, found if wanted.number else (), unfit))
    yield Mix(wanted, fit, unfit, _draw(wanted, fit, seed=seed))
    fit.unlink()
    unfit.unlink()


def _sift(wanted: Wanted[R], found: Iterable[R | Reject], unfit: Path) -> Iterator[R]:
    """The accepted records; rejects are written to the file `unfit`."""
    with unfit.open("wb") as file:
        for one in progress.track(found, unit="row", label=f"{wanted.stage}: general"):
            if isinstance(one, Reject):
                file.write(one.model_dump_json().encode("utf-8") + b"\n")
            else:
                yield one


def _draw(wanted: Wanted[R], fit: Path, *, seed: int) -> frozenset[str]:
    keys = [(hashlib.sha256(f"{seed}\0{one.id}".encode()).digest(), one.id) for one in _read(fit, wanted.record)]
    if len(keys) < wanted.number:
        raise GateFailed(
            f"{wanted.stage}: the ratio asks for {wanted.number:,} {wanted.noun}, the sources have {len(keys):,} that are fit; "
            f"lower {wanted.stage}.general.ratio, or add sources"
        )
    return frozenset(id for _, id in nsmallest(wanted.number, keys))


RowT = TypeVar("RowT", Sample, Pair, Reject)


def _read(path: Path, record: type[RowT]) -> Iterator[RowT]:
    return store.read(path, record) if path.stat().st_size else iter(())
