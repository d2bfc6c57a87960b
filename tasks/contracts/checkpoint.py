"""Run a contract through Great Expectations: an ephemeral context, one checkpoint, and data docs in a given folder."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.contracts.docs import make_offline
from tasks.contracts.rules import Contract, Rule
from tasks.schema.contract_results import SHOWN, Bars, ContractVerdict, FailedRow, Outcome, critical

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation
    from numpy.typing import NDArray

BINS = 20
BLOCK = 10_000  # rows read from the frame at once


class Checked(NamedTuple):
    verdict: ContractVerdict
    failed: Iterable[FailedRow]  # every row that breaks a failed expectation


def check(measured: "pd.DataFrame", contract: Contract, *, docs: Path) -> Checked:
    """Check the measures against the contract and write the data docs; returns the verdict and the rows that break a failed rule."""
    results = {result.expectation_config.meta["name"]: result for result in _run(measured, contract, docs)}
    judged = [_outcome(measured, rule, results.pop(rule.name)) for rule in contract.rules]
    outcomes = tuple(outcome for outcome, _ in judged)
    verdict = ContractVerdict(
        name=contract.name,
        title=contract.title,
        about=contract.about,
        passed=not critical(outcomes),
        rows=len(measured),
        expectations=outcomes,
        drawn=tuple(bars for name in contract.drawn for bars in _bars(measured, name)),
    )
    make_offline(docs, [verdict])
    broken = [(rule, numbers) for rule, (outcome, numbers) in zip(contract.rules, judged, strict=True) if not outcome.success]
    return Checked(verdict, _Failed(measured, broken))


def _run(measured: "pd.DataFrame", contract: Contract, docs: Path) -> "list[ExpectationValidationResult]":
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    for site in list(context.variables.data_docs_sites or {}):
        context.delete_data_docs_site(site)
    context.add_data_docs_site(
        site_name="docs",
        site_config={
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )
    asset = context.data_sources.add_or_update_pandas("data").add_dataframe_asset(contract.name)
    suite = context.suites.add_or_update(
        gx.ExpectationSuite(name=contract.name, expectations=[_expectation(rule) for rule in contract.rules])
    )
    definition = context.validation_definitions.add_or_update(
        gx.ValidationDefinition(name=contract.name, data=asset.add_batch_definition_whole_dataframe("all"), suite=suite)
    )
    checkpoint = context.checkpoints.add_or_update(
        gx.Checkpoint(
            name=contract.name,
            validation_definitions=[definition],
            actions=[gx.checkpoint.UpdateDataDocsAction(name="docs")],
            result_format={"result_format": "BASIC", "unexpected_index_column_names": ["row"]},  # other formats keep every failed row
        )
    )
    name = gx.RunIdentifier(run_name=contract.name)
    [validation] = checkpoint.run(batch_parameters={"dataframe": _judged(measured, contract)}, run_id=name).run_results.values()
    return list(validation.results)


def _judged(measured: "pd.DataFrame", contract: Contract) -> "pd.DataFrame":
    """Only the columns that the rules use, because Great Expectations copies its input several times."""
    about = {"row", *(rule.column for rule in contract.rules)}
    return measured[[name for name in measured.columns if name in about]]


def _expectation(rule: Rule) -> "Expectation":
    import great_expectations.expectations as theirs

    from tasks.contracts import expectations as ours

    given = {name: value for name, value in rule.arguments.items() if value is not None}
    made = getattr(ours, rule.expectation, None) or getattr(theirs, rule.expectation)
    return made(**given, severity=rule.severity, notes=rule.meaning, meta={"name": rule.name})


def _outcome(measured: "pd.DataFrame", rule: Rule, result: "ExpectationValidationResult") -> tuple[Outcome, "NDArray[np.int64]"]:
    """A rule's outcome, and the numbers (from 1) of the rows that break it."""
    if result.exception_info and result.exception_info.get("raised_exception"):
        raise RuntimeError(f"expectation {rule.name}: {result.exception_info['exception_message']}")
    numbers = _numbers(measured, rule)
    if (counted := result.result.get("unexpected_count", 0)) != len(numbers):
        raise RuntimeError(f"expectation {rule.name}: Great Expectations counts {counted} rows, and {len(numbers)} are found here")
    first = list(islice(_rows(measured, rule, numbers), SHOWN))
    observed = result.result.get("observed_value")
    outcome = Outcome(
        name=rule.name,
        severity=rule.severity,
        meaning=rule.meaning,
        success=bool(result.success),
        observed=None if observed is None else float(observed),
        unexpected_count=len(numbers),
        ids=tuple(row.id for row in first),
        examples=tuple(row.value[:200] for row in first),
    )
    return outcome, numbers


def _numbers(measured: "pd.DataFrame", rule: Rule) -> "NDArray[np.int64]":
    """Numbers (from 1) of the rows that break a rule; empty for a rule on a whole column. A row without a value breaks no rule."""
    import numpy as np

    if rule.expectation not in BREAKS:
        return np.zeros(0, np.int64)
    values, given = measured[rule.column], rule.arguments
    there = values.notna()
    numbers: NDArray[np.int64] = measured["row"].to_numpy()[(there & BREAKS[rule.expectation](values, given)).to_numpy(bool)]
    return numbers


def _outside(values: "pd.Series[float]", given: Mapping[str, Any]) -> "pd.Series[bool]":
    low, high = given["min_value"], given["max_value"]
    return (values < (-math.inf if low is None else low)) | (values > (math.inf if high is None else high))


BREAKS: Mapping[str, Callable[["pd.Series[Any]", Mapping[str, Any]], "pd.Series[bool]"]] = {
    "ExpectColumnValuesToBeNull": lambda values, _: values.notna(),
    "ExpectColumnValuesToBeUnique": lambda values, _: values.duplicated(keep=False),
    "ExpectColumnValuesToBeBetween": _outside,
    "ExpectColumnValuesToMatchRegex": lambda values, given: ~values.astype(str).str.contains(given["regex"]),
}


class _Failed:
    """The rows of `Checked.failed`, generated on iteration, because each rule may have a million of them."""

    def __init__(self, measured: "pd.DataFrame", broken: "list[tuple[Rule, NDArray[np.int64]]]"):
        self._measured, self._broken = measured, broken

    def __iter__(self) -> Iterator[FailedRow]:
        return chain.from_iterable(_rows(self._measured, rule, numbers) for rule, numbers in self._broken)


def _rows(measured: "pd.DataFrame", rule: Rule, numbers: "NDArray[np.int64]") -> Iterator[FailedRow]:
    """The rows with these numbers. For a rule on uniqueness, each row's value also names the other rows with this value."""
    if rule.expectation != "ExpectColumnValuesToBeUnique":
        yield from _plain(measured, rule, numbers)
        return
    places: dict[str, list[str]] = {}
    for row in _plain(measured, rule, numbers):
        places.setdefault(row.value, []).append(row.source)
    for row in _plain(measured, rule, numbers):
        yield row.model_copy(update={"value": _elsewhere(row, places[row.value])})


def _plain(measured: "pd.DataFrame", rule: Rule, numbers: "NDArray[np.int64]") -> Iterator[FailedRow]:
    for start in range(0, len(numbers), BLOCK):
        block = measured.iloc[numbers[start : start + BLOCK] - 1]
        for row, id_, source, value in zip(block["row"], block["id"], block["source"], block[rule.column], strict=True):
            yield FailedRow(
                row=int(row),
                id=str(id_),
                source=str(source),
                expectation=rule.name,
                severity=rule.severity,
                column=rule.column,
                value=str(value),
            )


def _elsewhere(row: FailedRow, places: list[str]) -> str:
    others = [place for place in places[: SHOWN + 1] if place != row.source][:SHOWN]
    more = f" and {len(places) - 1 - len(others)} more" if len(places) - 1 > len(others) else ""
    return f"{row.value}: also in {', '.join(others)}{more}"


def _bars(measured: "pd.DataFrame", name: str) -> Iterator[Bars]:
    """The measure's histogram; nothing if the column has no values."""
    import numpy as np

    values = measured[name].dropna().astype(float).to_numpy()
    if len(values):
        counts, edges = np.histogram(values, bins=BINS)
        median = float(np.median(values))
        yield Bars(measure=name, edges=tuple(map(float, edges)), counts=tuple(map(int, counts)), median=median)
