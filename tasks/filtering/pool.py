"""Read the sources of params.yaml through the filters: every row becomes a candidate on disk or a reject with a reason."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from tasks import progress, store
from tasks.cluster.engine import connect
from tasks.cluster.parallel_map import parallel_map
from tasks.corpus.filters import Fault
from tasks.filtering.candidates import Candidates
from tasks.filtering.sift import RejectedRow, Rules, Sifted, sift
from tasks.schema.errors import BadInput
from tasks.schema.params import Collect
from tasks.schema.records import Reason, Reject
from tasks.schema.settings import settings
from tasks.sources.files import SourceFile, files_of
from tasks.sources.splits import FileSplit, splits_of

FIX = "correct the row, or raise collect.max_malformed in params.yaml to set such rows aside"


class Rejects:
    """The file of rejects, written as a stream; memory holds only the counts."""

    def __init__(self, path: Path) -> None:
        self._path, self._stack = path, ExitStack()
        self.counts = Counter[Reason]()

    def __enter__(self) -> Self:
        self._file = self._stack.enter_context(self._stack.enter_context(store.replacing(self._path)).open("wb"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def total(self) -> int:
        return self.counts.total()

    def by_reason(self) -> dict[str, int]:
        """The counts as metrics `rejects_<reason>`, without zeros."""
        return {f"rejects_{reason}": self.counts[reason] for reason in Reason if self.counts[reason]}

    def refused(self, found: RejectedRow, source: str) -> None:
        """Write a row that the rules reject. There may be millions, so no pydantic record is made."""
        self.counts[found.reason] += 1
        fields = {"id": found.id, "stage": "collect", "reason": found.reason, "detail": found.detail, "source": source}
        self._file.write(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE))

    def made(self, pool: Candidates, place: int, fault: Fault) -> Reject:
        """A Reject for a candidate."""
        return Reject(id=pool.id(place), stage="collect", reason=fault[0], detail=fault[1], source=pool.source(place))

    def add(self, pool: Candidates, place: int, fault: Fault) -> None:
        """Write a Reject for a candidate."""
        self.refused(RejectedRow(0, pool.id(place), *fault), pool.source(place))

    def take(self, spool: store.Spool) -> None:
        """Write all rejects of a spool."""
        for line in spool.lines():
            self.counts[Reason(orjson.loads(line)["reason"])] += 1
            self._file.write(line)


def fill(pool: Candidates, rejects: Rejects, folder: Path, rules: Rules) -> dict[str, int]:
    """Put every row of the sources into `pool` or `rejects` and return the counts.

    Raises BadInput if there are more unreadable rows than collect.max_malformed allows, or if a file has no rows.
    """
    connect()
    where = settings()
    folder = folder.absolute() if where.cluster else folder  # a worker has another working directory
    files = [file for entry in rules.collect.sources for file in files_of(entry, folder)]
    tally = _Tally(rules.collect)
    parts = (split for file in files for split in splits_of(file))
    with progress.bar(total=None, unit="row", label="collect: sift", delay=1.0) as bar:
        for split, sifted in parallel_map(sift, parts, rules, processes=where.sifters):
            before = tally.add(split, sifted)
            for refused in sifted.refused:
                rejects.refused(refused, f"{split.file.name}:{before + refused.number}")
            pool.add(sifted.kept, sifted.sketches, file=split.file.name, before=before)
            bar.total = tally.expected(sum(file.nbytes for file in files))
            bar.update(len(sifted.kept) + len(sifted.refused))
    pool.close()
    tally.end()
    return tally.facts(len(pool))


class _Tally:
    """Counts of rows per source and in the current file, and of unreadable rows."""

    def __init__(self, collect: Collect) -> None:
        self._allowed = collect.max_malformed
        self._file: SourceFile | None = None
        self._lines = self._file_rows = self._nbytes = self._malformed = 0
        self._rows, self._masked = Counter[str](), Counter[str]()
        self._first: BadInput | None = None

    def add(self, split: FileSplit, sifted: Sifted) -> int:
        """Count a part and return the number of lines of the file before it. Raises BadInput if no unreadable row is allowed."""
        if self._file != split.file:
            self._end_file()
            self._file, self._lines, self._file_rows = split.file, 0, 0
        before, self._lines = self._lines, self._lines + sifted.lines
        rows = len(sifted.kept) + len(sifted.refused)
        self._file_rows += rows
        self._rows[split.file.entry.name] += rows
        self._nbytes += split.nbytes
        self._masked += sifted.masked
        for found in sifted.refused:
            if found.reason is Reason.MALFORMED:
                self._unreadable(split.file, before + found.number, found.detail)
        return before

    def _unreadable(self, file: SourceFile, row: int, problem: str) -> None:
        self._malformed += 1
        self._first = self._first or BadInput(file.place, problem, line=row, fix=FIX)
        if not self._allowed:
            raise self._first

    def expected(self, nbytes: int) -> int | None:
        """The expected rows of all files, from the bytes per row so far; None at the start."""
        return round(self._rows.total() * nbytes / self._nbytes) if self._nbytes else None

    def _end_file(self) -> None:
        if self._file and not self._file_rows:
            raise BadInput(self._file.place, "empty file", fix="add at least one row")

    def end(self) -> None:
        self._end_file()
        if self._first and self._malformed > self._allowed * self._rows.total():
            raise self._first

    def facts(self, candidates: int) -> dict[str, int]:
        rows = {f"rows_{name}": count for name, count in sorted(self._rows.items())}
        masked = {f"masked_{kind.lower()}": count for kind, count in sorted(self._masked.items())}
        return {"rows": self._rows.total(), **rows, "sifted": candidates, **masked}
