"""`longwriter data lengths FILE` (`python -m tasks.text lengths FILE`): print the length request found in each prompt."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import orjson
import typer

from tasks.schema.errors import BadInput
from tasks.stage import one_line_errors
from tasks.store import BOM, JsonLine, row_of, rows, shorten
from tasks.text.length_requests import LengthRequest, parse_length_request

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

FIELDS = ("prompt", "text")
STDIN = Path("-")


class ReadPrompt(NamedTuple):
    """The length request of one row."""

    line: int
    id: str | None
    request: LengthRequest

    def fields(self) -> dict[str, object]:
        """The fields of the JSON output. `low` is set for a range, `high` for a range or `most`; `band` is inclusive."""
        request = self.request
        return {
            **({} if self.id is None else {"id": self.id}),
            "target": request.target,
            "kind": request.kind,
            "low": request.low if request.kind == "range" else None,
            "high": request.high if request.kind in ("range", "most") else None,
            "phrase": request.phrase or None,
            "band": request.band,
        }


@app.callback()
def text() -> None:
    """Analysis of a single text."""


@app.command()
def lengths(
    path: Annotated[Path, typer.Argument(help="JSONL rows with `prompt` or `text`; - for standard input", metavar="FILE")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line for each row")] = False,
) -> None:
    """Print the requested length of each prompt and the phrase that states it."""
    with one_line_errors():
        found = count = 0
        for row in read_lengths(path):
            if not as_json and not count:
                print(f"{'row':>6}  {'kind':5}  {'target':>9}  {'satisfied by':>19}  phrase")
            count, found = count + 1, found + (row.request.target is not None)
            print(orjson.dumps(row.fields()).decode() if as_json else _shown(row))
        if not as_json:
            print(f"{found:,} of {count:,} prompts ask for a length")


def read_lengths(path: Path) -> Iterator[ReadPrompt]:
    """Yield the length request of each row. Raises BadInput with the line number if a row is unreadable or has no prompt."""
    name = "standard input" if path == STDIN else path
    for row in _standard_input() if path == STDIN else rows(path):
        if row.data is None:
            raise BadInput(name, row.problem or "not readable", line=row.line, fix="correct or remove the line")
        field = next((field for field in FIELDS if row.data.get(field) is not None), None)
        if field is None:
            raise BadInput(name, "no field `prompt` or `text`", line=row.line, fix="name the field with the prompt `prompt`")
        value = row.data[field]
        if not isinstance(value, str):
            raise BadInput(name, f"not a text, got {shorten(value)}", line=row.line, field=field, fix="give the prompt as one string")
        identity = row.data.get("id")
        yield ReadPrompt(row.line, None if identity is None else str(identity), parse_length_request(value))


def _standard_input() -> Iterator[JsonLine]:
    found, start = False, 0
    for number, line in enumerate(sys.stdin.buffer, 1):
        if line.strip():
            found = True
            yield row_of(number, line.removeprefix(BOM) if number == 1 else line, start)
        start += len(line)
    if not found:
        raise BadInput("standard input", "no rows", fix="send one JSON object a line")


def _shown(row: ReadPrompt) -> str:
    request, band = row.request, row.request.band
    target = "-" if request.target is None else f"{request.target:,}"
    satisfied = f"{band[0]:,} to {band[1]:,}" if band else "-"
    return f"{row.line:>6}  {request.kind:5}  {target:>9}  {satisfied:>19}  {request.phrase}"


if __name__ == "__main__":
    app()
