"""Read a training's history: one line per logged step and model, with the numbers logged at that step."""

from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.schema.errors import BadInput


class HistoryEntry(NamedTuple):
    """One logged step of one model. `values` are numbers by name, such as `loss` (nats per target token)."""

    model: str
    step: int
    values: dict[str, float]


def read_history(path: Path) -> list[HistoryEntry]:
    """Every entry of history.jsonl, in order. Raises BadInput with the line that is unreadable or has no step."""
    return [_entry(path, row) for row in store.rows(path)]


def _entry(path: Path, row: store.JsonLine) -> HistoryEntry:
    if row.data is None:
        raise BadInput(path, row.problem or "", line=row.line, fix="run the stage train again")
    if not isinstance(step := row.data.get("step"), int):
        raise BadInput(path, "missing field", line=row.line, field="step", fix="run the stage train again")
    numbers = {name: float(value) for name, value in row.data.items() if isinstance(value, int | float) and name != "step"}
    return HistoryEntry(str(row.data.get("model", "student")), step, numbers)
