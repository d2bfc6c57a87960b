"""What the commands that ask a judge share: options, their cost limit, and how a result or its cost is printed."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import orjson
import typer
from pydantic import BaseModel

from tasks.endpoints.allowance import Forecast, SpendLimit, limit_of

R = TypeVar("R", bound=BaseModel)
Answers = Annotated[
    Path | None,
    typer.Argument(
        help="recorded answers: an evaluation's folder, or a file as for `score`; default: data/predict/predictions.jsonl, or else the"
        " rehearsal's prose on the benchmark's prompts"
    ),
]
Texts = Annotated[Path, typer.Argument(help="texts: an evaluation's folder, drafts.jsonl, a file as for `score`, or a .txt or .md file")]
Format = Annotated[str | None, typer.Option(help="format of the rows: longbench-write, hellobench, writingbench, lifebench")]
Cap = Annotated[str, typer.Option(help="stop before it costs more: 400 (calls) or '$2.50'", metavar="LIMIT")]
Estimate = Annotated[bool, typer.Option("--estimate", help="print the cost and stop")]
Cards = Annotated[Path, typer.Option(file_okay=False, help="folder of the cards, one file per judge")]
CardJson = Annotated[bool, typer.Option("--json", help="the card as one JSON object, on the last line")]
ReportJson = Annotated[bool, typer.Option("--json", help="the report as one JSON object, on the last line")]


def limit_from(text: str, option: str = "--cap") -> SpendLimit:
    """The limit that an option states; without a text no limit. Raises BadInput for a text that is no limit."""
    return limit_of(text, option) if text else SpendLimit()


def say(line: str) -> None:
    """Prints a line beside the result, on standard error."""
    print(line, file=sys.stderr, flush=True)


def show_cost(cost: Forecast, *, as_json: bool) -> None:
    """Prints what the command would cost."""
    print(orjson.dumps(cost._asdict()).decode() if as_json else str(cost))


def show_or_cost(result: R | None, cost: Forecast, show: Callable[[R], None], *, as_json: bool) -> None:
    """Prints a result, by `show` or as JSON; without one, because only that was asked for, the cost."""
    if result is None:
        show_cost(cost, as_json=as_json)
    elif as_json:
        print(orjson.dumps(result.model_dump(mode="json")).decode(), flush=True)
    else:
        show(result)
