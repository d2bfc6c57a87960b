"""Records how long each stage took on this machine: one JSON line per run in `stages.jsonl` below settings.home.

Times are circumstance: they are no output of a stage, and a stage that DVC restores from its cache has none.
"""

from pathlib import Path

from tasks import store
from tasks.schema.records import Record
from tasks.schema.settings import settings

FILE = "stages.jsonl"


class StageTime(Record):
    """One complete run of a stage."""

    output: str  # the stage's output folder, absolute
    seconds: float  # wall time
    at: float  # Unix time of its end


def record(output: Path, *, seconds: float, at: float) -> None:
    """Append a run."""
    line = StageTime(output=str(output.absolute()), seconds=seconds, at=at).model_dump_json()
    store.append_line(settings().home / FILE, line.encode())


def of(data: Path) -> dict[str, float]:
    """Seconds of the last run of each stage with its folder in `data`, by stage. Unreadable lines are ignored: a kill may cut one."""
    path, found = settings().home / FILE, dict[str, float]()
    for row in store.rows(path) if path.is_file() and path.stat().st_size else ():
        output, seconds = (row.data.get("output"), row.data.get("seconds")) if row.data else (None, None)
        if isinstance(output, str) and isinstance(seconds, int | float) and Path(output).parent == data.absolute():
            found[Path(output).name] = float(seconds)
    return found
