"""What a contract's check came to: the verdict that later stages and the report read, and the rows that broke a rule."""

from collections.abc import Sequence

from tasks.contracts.rules import Severity
from tasks.schema.records import Record

SHOWN = 10  # ids kept per expectation in the verdict; the full list is in the failed rows


class Outcome(Record):
    """One expectation's result. `ids` are the first rows that broke it, also within what `mostly` allows."""

    name: str
    severity: Severity
    meaning: str
    success: bool
    observed: float | None  # of expectations on the whole table: a count, a mean, a quantile
    unexpected_count: int
    ids: tuple[str, ...]
    examples: tuple[str, ...] = ()  # what was seen in those rows


class Bars(Record):
    """How a measure is spread: counts between edges, one more edge than counts."""

    measure: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    median: float


class Verdict(Record):
    """`passed` means that no critical expectation failed."""

    name: str = "validate_dataset"
    title: str = "Training set"
    about: str = ""
    passed: bool
    rows: int
    expectations: tuple[Outcome, ...]
    drawn: tuple[Bars, ...] = ()


class Passed(Record):
    """That data has passed its contract, for the stages behind it. It changes with the data alone: another contract that holds changes
    nothing, and so makes nobody write or train anew."""

    contract: str
    sha256: str


class FailedRow(Record):
    """One row that broke one failed expectation."""

    row: int  # in the file, from 1
    id: str
    source: str  # file:row that it came from
    expectation: str
    severity: Severity
    column: str
    value: str


def critical(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if not outcome.success and outcome.severity == "critical"]


def describe(failed: Sequence[Outcome]) -> str:
    """Failed expectations in a few words each: what was meant, what was seen, the first rows' ids."""
    return "; ".join(_one(outcome) for outcome in failed)


def _one(outcome: Outcome) -> str:
    if not outcome.ids:
        return f"{outcome.name} ({outcome.meaning}, observed {outcome.observed:g})" if outcome.observed is not None else outcome.name
    more = ", …" if outcome.unexpected_count > 3 else ""
    return f"{outcome.name} ({outcome.meaning}; {outcome.unexpected_count} rows: {', '.join(list(dict.fromkeys(outcome.ids))[:3])}{more})"
