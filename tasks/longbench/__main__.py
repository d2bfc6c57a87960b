"""`python -m tasks.longbench score FILE`: recorded outputs of any model against the lengths that were asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from tasks import store
from tasks.longbench.recorded import score_recorded
from tasks.longbench.summary import Group, Scorecard, reach, summarise
from tasks.schema.errors import BadInput
from tasks.stage import one_line_errors

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
RULER_LINES = 20  # asked lengths, at the most, for which the table shows how far the answers reach


@app.callback()
def longbench() -> None:
    """LongBench-Write's scores."""


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="JSONL: prompt or instruction, response, and length unless given for all")],
    length: Annotated[str, typer.Option(help="words asked for, in rows that do not say", metavar="WORDS")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="the scorecard as one JSON object, on the last line")] = False,
) -> None:
    """Score recorded outputs by S_l. Quality needs a judge: S_q is null, and every item counts as unscored."""
    with one_line_errors():
        card = summarise(list(score_recorded(predictions, length=_positive(length) if length else None)))
        if as_json:
            print(orjson.dumps(card.model_dump(mode="json", exclude={"ruler"})).decode(), flush=True)
        else:
            show(card, title=str(predictions))


def _positive(text: str) -> int:
    try:
        length = int(text)
    except ValueError:
        raise BadInput("--length", f"not a whole number: {store.shorten(text)}", mend="such as 4000") from None
    if length <= 0:
        raise BadInput("--length", f"{length}, but a length is positive", mend="such as 4000")
    return length


def show(card: Scorecard, *, title: str) -> None:
    """The scorecard for people."""
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    console.print(_scores(card, title=escape(title)))
    if card.s_q is None:
        console.print("S_q and S̄ are empty: no judge has seen these outputs. S_l is the length score alone.")
    points = reach(card.ruler)
    if len(points) <= RULER_LINES:
        console.print(_ruler(card))


def _scores(card: Scorecard, *, title: str) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("items", "S_l", "S_q", "S̄", "unscored"):
        table.add_column(name, justify="right")
    table.add_row("overall", *_cells(card), end_section=True)
    groups: tuple[Mapping[str, Group], ...] = (card.by_bin, card.by_language, card.by_type)
    for group in groups:
        for place, (name, scores) in enumerate(group.items(), 1):
            table.add_row(escape(name), *_cells(scores), end_section=place == len(group))
    return table


def _cells(group: Group) -> list[str]:
    shown = ["-" if value is None else f"{value:.2f}" for value in (group.s_l, group.s_q, group.s_bar)]
    return [str(group.items), *shown, str(group.unscored)]


def _ruler(card: Scorecard) -> "Table":
    from rich.table import Table

    table = Table(title="asked and written, in words", title_justify="left")
    for name in ("asked", "items", "mean written", "longest"):
        table.add_column(name, justify="right")
    for point in reach(card.ruler):
        table.add_row(str(point.asked), str(point.items), f"{point.mean:.0f}", str(point.longest))
    return table


if __name__ == "__main__":
    app()
