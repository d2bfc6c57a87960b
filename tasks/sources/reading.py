"""Read all rows of a source in this process: for benchmark files and data of moderate size."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from tasks.schema.errors import BadInput
from tasks.schema.params import Source
from tasks.sources.adapters import RawPrompt, raw_prompt_of
from tasks.sources.files import SourceFile, files_of, local_file
from tasks.sources.splits import SourceRow, rows, splits_of
from tasks.sources.turns import Misfit

T = TypeVar("T")


def rows_of(entry: Source, folder: Path) -> Iterator[tuple[SourceFile, SourceRow]]:
    """Every row of an entry with its file, conversations complete, row numbers from 1 per file. `folder`: root of local files."""
    for file in files_of(entry, folder):
        yield from ((file, row) for row in rows_of_file(file))


def rows_of_file(file: SourceFile) -> Iterator[SourceRow]:
    """Every row of a file except blank lines. Raises BadInput for a file without rows."""
    before, found = 0, False
    for split in splits_of(file):
        number = 0
        for row in rows(split, turns=None):
            number = row.number
            if row.data is not None or row.problem:
                found = True
                yield row._replace(number=before + number)
        before += number
    if not found:
        raise BadInput(file.place, "empty file", fix="add at least one row")


def read_each(
    entries: Iterable[Source], folder: Path, read: Callable[[Mapping[str, object], Source], T]
) -> Iterator[tuple[str, T | Misfit]]:
    """What `read` makes of each row of the entries, or the Misfit of a row that it cannot read, with the row's place, FILE:ROW."""
    for entry in entries:
        for file, row in rows_of(entry, folder):
            found: T | Misfit
            try:
                found = read(row.content(), entry)
            except Misfit as problem:
                found = problem
            yield f"{file.name}:{row.number}", found


def raw_prompts(entry: Source, folder: Path) -> Iterator[RawPrompt]:
    """The prompt of each row. Raises BadInput at the first row without a readable prompt."""
    for file in files_of(entry, folder):
        yield from raw_prompts_of(file)


def raw_prompts_of(file: SourceFile) -> Iterator[RawPrompt]:
    """The prompt of each row of a file. Raises BadInput at the first row without a readable prompt."""
    for row in rows_of_file(file):
        try:
            yield raw_prompt_of(row.content(), file.entry.adapter)
        except Misfit as problem:
            raise BadInput(file.place, str(problem), line=row.number, fix="correct or remove the row") from None


def plain(path: Path) -> SourceFile:
    """A file that params.yaml names by its path only. Raises BadInput if it does not exist."""
    entry = Source(name="file", files=[path.name], format="auto", adapter="auto", revision="", licence="unknown")
    if not path.is_file():
        raise BadInput(path, "no such file", fix="check the path in params.yaml")
    return local_file(path, entry, path.name)
