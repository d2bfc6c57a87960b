"""Contracts as data: each rule names an expectation, the measure and bounds that it checks, its severity and its meaning."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tasks.schema.contract_results import Severity


class Rule(NamedTuple):
    """One expectation: its name, its class (ours or Great Expectations'), the class's arguments, and its meaning in a sentence."""

    name: str
    severity: Severity
    expectation: str
    arguments: Mapping[str, Any]
    meaning: str

    @property
    def column(self) -> str:
        return str(self.arguments.get("column", ""))


class Contract(NamedTuple):
    """All rules of one dataset, in the order in which they are shown."""

    name: str  # the name of the stage that enforces it
    title: str
    about: str  # the data that it checks
    rules: Sequence[Rule]
    drawn: Sequence[str] = ()  # measures that the docs show as histograms


def none_of(name: str, severity: Severity, column: str, meaning: str, *, mostly: float = 1) -> Rule:
    """The column contains evidence of a defect, and must be null; `mostly` is the share of rows that must be null."""
    return Rule(name, severity, "ExpectColumnValuesToBeNull", {"column": column, "mostly": mostly}, meaning)


def unique(name: str, severity: Severity, column: str, meaning: str) -> Rule:
    return Rule(name, severity, "ExpectColumnValuesToBeUnique", {"column": column}, meaning)


def between(
    name: str,
    severity: Severity,
    column: str,
    meaning: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    mostly: float = 1,
) -> Rule:
    arguments = {"column": column, "min_value": at_least, "max_value": at_most, "mostly": mostly}
    return Rule(name, severity, "ExpectColumnValuesToBeBetween", arguments, meaning)


def rows(at_least: int, *, key: str) -> Rule:
    """A least number of rows. `key`, here and below, is the params.yaml key that sets the bound."""
    meaning = f"at least {at_least:,} rows ({key})"
    return Rule("enough_rows", "critical", "ExpectTableRowCountToBeBetween", {"min_value": at_least}, meaning)


def total(name: str, severity: Severity, column: str, meaning: str, *, at_least: float) -> Rule:
    return Rule(name, severity, "ExpectColumnSumToBeBetween", {"column": column, "min_value": at_least}, meaning)


def quantile(severity: Severity, column: str, q: float, *, at_least: float, at_most: float, key: str) -> Rule:
    meaning = f"{q:.0%} of the rows are shorter than some length between {at_least:,} and {at_most:,} words ({key})"
    arguments = {"column": column, "quantile": q, "min_value": at_least, "max_value": at_most}
    return Rule(f"lengths_p{q * 100:.0f}", severity, "ExpectColumnQuantileToBeBetween", arguments, meaning)


def balanced(severity: Severity, column: str, *, at_least: float, key: str) -> Rule:
    meaning = f"the rarer language has {at_least:.0%} of the rows or more ({key})"
    arguments = {"column": column, "min_value": at_least}
    return Rule("languages_balanced", severity, "ExpectColumnRarestShareToBeBetween", arguments, meaning)
