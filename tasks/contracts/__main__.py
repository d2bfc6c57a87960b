"""`longwriter data check FILE` (`python -m tasks.contracts check FILE`): check any dataset against the contract and show failed rows."""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import orjson
import typer

from tasks.contracts.external_data import Columns
from tasks.schema.contract_results import ContractVerdict, FailedRow, Outcome
from tasks.schema.params import load
from tasks.stage import one_line_errors

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
SHOWN = 3  # rows printed per failed expectation; failed.jsonl has all of them


@app.callback()
def quality() -> None:
    """Check data from outside the pipeline against the data contract."""


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="a JSONL, JSON or Parquet file, or a folder as `datasets` writes or reads it")],
    out: Annotated[
        Path | None, typer.Option(help="folder for the data docs, the verdict and the failed rows; default: checks/NAME")
    ] = None,
    prompt: Annotated[str, typer.Option(help="the column with the request")] = "",
    response: Annotated[str, typer.Option(help="the column with the answer")] = "",
    messages: Annotated[str, typer.Option(help="the column with a list of turns")] = "",
    length: Annotated[
        str,
        typer.Option(
            help="the column with the requested words; default: `asked_words` (as in the pipeline's data), else the length in the prompt"
        ),
    ] = "",
    tokenizer: Annotated[str, typer.Option(help="a folder or a hub id: conversations must fit into its context too")] = "",
    context: Annotated[int | None, typer.Option(min=1, help="tokens; default: pack.context in params.yaml")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the verdict as one JSON object, on the last line")] = False,
) -> None:
    """Check a dataset and show which rows fail which expectation.

    Exits with 1 if a critical expectation fails, with 2 if the data cannot be read.
    """
    with one_line_errors():
        from tasks.contracts.checking import check_outside

        folder = out or Path("checks") / path.resolve().name
        columns = Columns(messages, prompt, response, length)
        checked = check_outside(path, folder, load(), columns=columns, tokenizer=tokenizer, context=context)
        if as_json:
            print(orjson.dumps(checked.verdict.model_dump(mode="json")).decode())
        else:
            _show(path, checked.verdict, checked.failed, folder)
    sys.exit(0 if checked.verdict.passed else 1)


def _show(path: Path, verdict: ContractVerdict, failed: Iterable[FailedRow], folder: Path) -> None:
    rows = {row.row for row in failed if row.severity == "critical"}
    print(f"{path}: {verdict.rows:,} rows; {len(rows):,} of them break something critical" if rows else f"{path}: {verdict.rows:,} rows")
    for outcome in verdict.expectations:
        mark = "holds" if outcome.success else "FAILS" if outcome.severity == "critical" else "warns"
        broken = f"{outcome.unexpected_count:,} rows" if outcome.unexpected_count else _observed(outcome)
        print(f"  {mark}  {outcome.name:26}{broken:>12}  {outcome.meaning}")
        if not outcome.success:
            _examples([row for row in failed if row.expectation == outcome.name])
    reasons = Counter(row.expectation for row in failed if row.severity == "critical")
    print(f"{'passed' if verdict.passed else 'failed: ' + ', '.join(f'{name} {count:,}' for name, count in reasons.most_common())}")
    print(f"all failed rows: {folder / 'failed.jsonl'}   data docs: {folder / 'docs' / 'index.html'}")


def _observed(outcome: Outcome) -> str:
    return f"{outcome.observed:g}" if outcome.observed is not None else ""


def _examples(rows: list[FailedRow]) -> None:
    for row in rows[:SHOWN]:
        print(f"           {row.source}: {' '.join(row.value.split())[:110]}")
    if len(rows) > SHOWN:
        print(f"           … and {len(rows) - SHOWN:,} more")


if __name__ == "__main__":
    app()
