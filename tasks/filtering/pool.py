"""From the entries of params to the candidates on disk: every row ends there, or as a reject with its reason."""

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
from tasks.filtering.sift import Refused, Rules, Sifted, sift
from tasks.schema.errors import BadInput
from tasks.schema.params import Collect
from tasks.schema.records import Reason, Reject
from tasks.schema.settings import settings
from tasks.sources.files import File, files_of
from tasks.sources.splits import Split, splits_of

FIX = "correct the row, or raise collect.max_malformed in params.yaml to set such rows aside"


class Rejects:
    """The file of rejects, written as they come up; memory holds the counts."""

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
        return {f"rejects_{reason}": self.counts[reason] for reason in Reason if self.counts[reason]}

    def refused(self, found: Refused, source: str) -> None:
        """A row that the rules set aside. A million of them may come: no record is made of each."""
        self.counts[found.reason] += 1
        fields = {"id": found.id, "stage": "collect", "reason": found.reason, "detail": found.detail, "source": source}
        self._file.write(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE))

    def made(self, pool: Candidates, place: int, fault: Fault) -> Reject:
        return Reject(id=pool.id(place), stage="collect", reason=fault[0], detail=fault[1], source=pool.source(place))

    def add(self, pool: Candidates, place: int, fault: Fault) -> None:
        self.refused(Refused(0, pool.id(place), *fault), pool.source(place))

    def take(self, spool: store.Spool) -> None:
        """All of a spool of rejects."""
        for line in spool.lines():
            self.counts[Reason(orjson.loads(line)["reason"])] += 1
            self._file.write(line)


def fill(pool: Candidates, rejects: Rejects, folder: Path, rules: Rules) -> dict[str, int]:
    """Every row of the entries into `pool` or `rejects`; returns counts. Raises BadInput for more unreadable rows than params allow."""
    connect()
    where = settings()
    folder = folder.absolute() if where.cluster else folder  # a worker works elsewhere
    files = [file for entry in rules.collect.sources for file in files_of(entry, folder)]
    tally = _Tally(rules.collect)
    parts = (split for file in files for split in splits_of(file))
    with progress.bar(total=None, unit="row", label="collect: sift", delay=1.0) as bar:
        for split, sifted in parallel_map(sift, parts, rules, processes=where.sifters):
            before = tally.add(split, sifted)
            for refused in sifted.refused:
                rejects.refused(refused, f"{split.file.name}:{before + refused.number}")
            pool.add(sifted.kept, sifted.bands, file=split.file.name, before=before)
            bar.total = tally.expected(sum(file.nbytes for file in files))
            bar.update(len(sifted.kept) + len(sifted.refused))
    pool.close()
    tally.end()
    return tally.facts(len(pool))


class _Tally:
    """How many rows there were, of which source, in which file so far, and how many could not be read."""

    def __init__(self, collect: Collect) -> None:
        self._allowed = collect.max_malformed
        self._file: File | None = None
        self._lines = self._file_rows = self._nbytes = self._malformed = 0
        self._rows, self._masked = Counter[str](), Counter[str]()
        self._first: BadInput | None = None

    def add(self, split: Split, sifted: Sifted) -> int:
        """How many lines of the file precede the part."""
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

    def _unreadable(self, file: File, row: int, problem: str) -> None:
        self._malformed += 1
        self._first = self._first or BadInput(file.place, problem, line=row, fix=FIX)
        if not self._allowed:
            raise self._first

    def expected(self, nbytes: int) -> int | None:
        """Rows of all files, going by what those so far took."""
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
