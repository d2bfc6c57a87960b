"""What the contract's check came to: the verdict that later stages and the report read, and the rows that broke a rule."""

from tasks.quality.contract import Severity
from tasks.schema.records import Record

SHOWN = 10  # ids kept per expectation in the verdict; the full list is in the failed rows


class Outcome(Record):
    """One expectation's result. `ids` are the first rows that broke it, also within what `mostly` allows."""

    name: str
    severity: Severity
    meaning: str
    success: bool
    observed: float | None  # of expectations on the whole table: a count, a mean
    unexpected_count: int
    ids: tuple[str, ...]


class Verdict(Record):
    """`passed` means that no critical expectation failed."""

    passed: bool
    rows: int
    expectations: tuple[Outcome, ...]


class FailedRow(Record):
    """One row that broke one failed expectation."""

    row: int  # in train.parquet, from 1
    id: str
    source: str  # file:row of the instruction that it came from
    expectation: str
    severity: Severity
    column: str
    value: str


def describe(failed: list[Outcome]) -> str:
    """Failed expectations in a few words each: what was meant, what was seen, the first rows' ids."""
    return "; ".join(_one(outcome) for outcome in failed)


def _one(outcome: Outcome) -> str:
    if not outcome.ids:
        return f"{outcome.name} ({outcome.meaning}, observed {outcome.observed:g})" if outcome.observed is not None else outcome.name
    more = ", …" if outcome.unexpected_count > 3 else ""
    return f"{outcome.name} ({outcome.meaning}; {outcome.unexpected_count} rows: {', '.join(list(dict.fromkeys(outcome.ids))[:3])}{more})"
