"""The result of a contract's check: the verdict, which later stages and the report read, and the failed rows."""

from collections.abc import Sequence
from typing import Literal

from tasks.schema.records import Record

Severity = Literal["critical", "warning"]
SHOWN = 10  # ids per expectation in the verdict; the failed rows have all of them


class Outcome(Record):
    """One expectation's result. `ids` are the first rows that break it, even if `mostly` tolerates them."""

    name: str
    severity: Severity
    meaning: str
    success: bool
    observed: float | None  # for expectations on a whole column or table: a count, sum, share or quantile
    unexpected_count: int  # rows that break it
    ids: tuple[str, ...]
    examples: tuple[str, ...] = ()  # the values in those rows


class Bars(Record):
    """A measure's histogram. There is one more edge than counts."""

    measure: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    median: float


class ContractVerdict(Record):
    """The result of a contract. `passed` means that no critical expectation failed."""

    name: str = "validate_dataset"
    title: str = "Training set"
    about: str = ""
    passed: bool
    rows: int
    expectations: tuple[Outcome, ...]
    drawn: tuple[Bars, ...] = ()


class Passed(Record):
    """A record that data passed its contract, as a dependency of later stages.

    It depends only on the data and the contract's name. If a changed contract passes too, later stages do not run again.
    """

    contract: str
    sha256: str


class FailedRow(Record):
    """One row that breaks one failed expectation."""

    row: int  # number in the measured data, from 1
    id: str
    source: str  # its origin, for external data FILE:ROW
    expectation: str
    severity: Severity
    column: str
    value: str


def critical(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if not outcome.success and outcome.severity == "critical"]


def describe(failed: Sequence[Outcome]) -> str:
    """Failed expectations in one line: for each its meaning, the observed value or the number of rows, and the first ids."""
    return "; ".join(_one(outcome) for outcome in failed)


def _one(outcome: Outcome) -> str:
    if not outcome.ids:
        return f"{outcome.name} ({outcome.meaning}, observed {outcome.observed:g})" if outcome.observed is not None else outcome.name
    more = ", …" if outcome.unexpected_count > 3 else ""
    return f"{outcome.name} ({outcome.meaning}; {outcome.unexpected_count} rows: {', '.join(list(dict.fromkeys(outcome.ids))[:3])}{more})"
