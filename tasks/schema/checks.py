"""What was found before a run: one line for each check, and for a warning or an error what to do about it."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from tasks.schema.errors import NotReady, PipelineError
from tasks.schema.records import Record

Status = Literal["ok", "warning", "error"]


class Check(Record):
    """One line of the report."""

    name: str
    status: Status
    detail: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}" + (f"; fix: {self.fix}" if self.fix else "")


def problems(checks: Iterable[Check]) -> list[str]:
    """The errors among the checks, one line each."""
    return [str(check) for check in checks if check.status == "error"]


def require(checks: Iterable[Check]) -> None:
    """Print all warnings to standard error. Raises NotReady with all errors, if there are any."""
    found = list(checks)
    for check in found:
        if check.status == "warning":
            print(f"warning: {check}", file=sys.stderr, flush=True)
    if errors := problems(found):
        raise NotReady(errors)


def attempt(name: str, check: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The lines of a check; a PipelineError becomes an error line."""
    try:
        yield from check()
    except PipelineError as error:
        yield Check(name=name, status="error", detail=str(error))
