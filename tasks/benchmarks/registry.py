"""Finds benchmarks by entry point: this project's own and those of other installed distributions."""

from pathlib import Path

from tasks import plugins
from tasks.benchmarks.interface import Benchmark, Suite
from tasks.benchmarks.sources import is_right
from tasks.schema.errors import BadInput

GROUP = "longwriter.benchmarks"
# As in pyproject.toml: a checkout with older installed metadata must find them too. A test compares the two.
OWN = {
    "longbench-write": "tasks.benchmarks.longbench_write:LONGBENCH_WRITE",
    "longwrite-ruler": "tasks.benchmarks.longbench_write:RULER",
    "hellobench": "tasks.benchmarks.hellobench:HELLOBENCH",
    "hellobench-length": "tasks.benchmarks.hellobench:LENGTH_CONSTRAINED",
    "writingbench": "tasks.benchmarks.writingbench:WRITINGBENCH",
    "writingbench-length": "tasks.benchmarks.writingbench:LENGTH_SUBSET",
    "lifebench": "tasks.benchmarks.lifebench:LIFEBENCH",
    "lifebench-lite": "tasks.benchmarks.lifebench:LITE",
    "longgenbench-short": "tasks.benchmarks.longgenbench:SHORT",
    "longgenbench-long": "tasks.benchmarks.longgenbench:LONG",
    "eqbench-longform": "tasks.benchmarks.eqbench:LONGFORM",
}


def names() -> list[str]:
    """The names of all benchmarks, this project's own first."""
    return list(_found())


def benchmark(name: str) -> Benchmark:
    """Returns the plug-in of that name. Raises BadInput if there is none, or if it cannot be imported."""
    found = _found()
    if name not in found:
        raise BadInput(name, "no benchmark of that name", fix=f"use one of {', '.join(found)}, or give a file")
    return plugins.loaded(name, found[name], Benchmark)


def every() -> list[Benchmark]:
    """All benchmarks. Raises BadInput for a plug-in that cannot be imported."""
    return [plugins.loaded(name, value, Benchmark) for name, value in _found().items()]


def open_suite(one: Benchmark, folder: Path | None = None) -> Suite:
    """Reads a benchmark's fetched files. Raises BadInput if one is missing or is not the pinned one."""
    folder = folder or one.folder
    for pin in one.source.pins if one.source else ():
        path, fix = folder / pin.name, f"fetch it: longwriter eval official {one.card.name}"
        if not path.is_file():
            raise BadInput(path, f"no such file; the benchmark {one.card.name} needs it", fix=fix)
        if not is_right(path, pin):
            raise BadInput(path, "not the file that its authors published", fix=fix)
    return one.load(folder)


def _found() -> dict[str, str]:
    return plugins.found(GROUP, OWN)
