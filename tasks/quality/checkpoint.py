"""Runs a contract through Great Expectations: an ephemeral context, one checkpoint, data docs in a folder of ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.quality.docs import make_offline
from tasks.quality.rules import Contract, Rule
from tasks.quality.verdict import SHOWN, Bars, FailedRow, Outcome, Verdict, critical

if TYPE_CHECKING:
    import pandas as pd

BINS = 20


class Checked(NamedTuple):
    verdict: Verdict
    failed: list[FailedRow]  # of expectations that failed, every row


def check(measured: "pd.DataFrame", contract: Contract, *, docs: Path) -> Checked:
    """Hold the measures to the contract, write the data docs, return the verdict and the rows that broke a failed rule."""
    results = {result.expectation_config.meta["name"]: result for result in _run(measured, contract, docs)}
    judged = [_outcome(measured, rule, results[rule.name]) for rule in contract.rules]
    outcomes = tuple(outcome for outcome, _ in judged)
    verdict = Verdict(
        name=contract.name,
        title=contract.title,
        about=contract.about,
        passed=not critical(outcomes),
        rows=len(measured),
        expectations=outcomes,
        drawn=tuple(bars for name in contract.drawn for bars in _bars(measured, name)),
    )
    make_offline(docs, [verdict])
    return Checked(verdict, [row for outcome, rows in judged if not outcome.success for row in rows])


def _run(measured: "pd.DataFrame", contract: Contract, docs: Path) -> list[Any]:
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
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]},
        )
    )
    name = gx.RunIdentifier(run_name=contract.name)
    [validation] = checkpoint.run(batch_parameters={"dataframe": _judged(measured, contract)}, run_id=name).run_results.values()
    return list(validation.results)


def _judged(measured: "pd.DataFrame", contract: Contract) -> "pd.DataFrame":
    """The columns that the rules are about: Great Expectations copies what it is given, more than once."""
    about = {"row", *(rule.column for rule in contract.rules)}
    return measured[[name for name in measured.columns if name in about]]


def _expectation(rule: Rule) -> Any:
    import great_expectations.expectations as theirs

    from tasks.quality import expectations as ours

    given = {name: value for name, value in rule.arguments.items() if value is not None}
    made = getattr(ours, rule.expectation, None) or getattr(theirs, rule.expectation)
    return made(**given, severity=rule.severity, notes=rule.meaning, meta={"name": rule.name})


def _outcome(measured: "pd.DataFrame", rule: Rule, result: Any) -> tuple[Outcome, list[FailedRow]]:
    if result.exception_info and result.exception_info.get("raised_exception"):
        raise RuntimeError(f"expectation {rule.name}: {result.exception_info['exception_message']}")
    numbers = [int(found["row"]) for found in result.result.get("unexpected_index_list") or []]
    rows = [_row(measured.iloc[number - 1], rule) for number in numbers]
    if rule.expectation == "ExpectColumnValuesToBeUnique":
        rows = _with_places(rows)
    observed = result.result.get("observed_value")
    outcome = Outcome(
        name=rule.name,
        severity=rule.severity,
        meaning=rule.meaning,
        success=bool(result.success),
        observed=None if observed is None else float(observed),
        unexpected_count=len(rows),
        ids=tuple(row.id for row in rows[:SHOWN]),
        examples=tuple(row.value[:200] for row in rows[:SHOWN]),
    )
    return outcome, rows


def _row(measures: Any, rule: Rule) -> FailedRow:
    return FailedRow(
        row=int(measures["row"]),
        id=str(measures["id"]),
        source=str(measures["source"]),
        expectation=rule.name,
        severity=rule.severity,
        column=rule.column,
        value=str(measures[rule.column]),
    )


def _with_places(rows: list[FailedRow]) -> list[FailedRow]:
    """Rows that have a value in common, each with where the others are."""
    places: dict[str, list[str]] = {}
    for row in rows:
        places.setdefault(row.value, []).append(row.source)
    return [row.model_copy(update={"value": _elsewhere(row, places[row.value])}) for row in rows]


def _elsewhere(row: FailedRow, places: list[str]) -> str:
    others = [place for place in places[: SHOWN + 1] if place != row.source][:SHOWN]
    more = f" and {len(places) - 1 - len(others)} more" if len(places) - 1 > len(others) else ""
    return f"{row.value}: also in {', '.join(others)}{more}"


def _bars(measured: "pd.DataFrame", name: str) -> Iterator[Bars]:
    """The measure's histogram, if there is anything to show."""
    import numpy as np

    values = measured[name].dropna().astype(float).to_numpy()
    if len(values):
        counts, edges = np.histogram(values, bins=BINS)
        median = float(np.median(values))
        yield Bars(measure=name, edges=tuple(map(float, edges)), counts=tuple(map(int, counts)), median=median)
