"""`python -m tasks.longbench score FILE`: recorded outputs of any model against the lengths that were asked for; `compare A B`."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from tasks import store
from tasks.longbench.compare import compare as comparison
from tasks.longbench.display import show_comparison, show_scorecard
from tasks.longbench.recorded import score_recorded
from tasks.longbench.summary import summarise
from tasks.schema.errors import BadInput
from tasks.stage import one_line_errors

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


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
            show_scorecard(card, title=str(predictions))


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="items.jsonl of the stage score, or its folder; with a model: data/score:student", metavar="A")],
    b: Annotated[str, typer.Argument(help="the same, or a model of the paper's table: paper:LongWriter-9B", metavar="B")],
    as_json: Annotated[bool, typer.Option("--json", help="the comparison as one JSON object, on the last line")] = False,
    gate: Annotated[bool, typer.Option("--gate", help="exit with 1 if A is worse: by S̄ overall, or by S_l where no judge scored")] = False,
) -> None:
    """Is A better than B, worse, or cannot these items tell? Item by item, with 95% intervals."""
    with one_line_errors():
        found = comparison(a, b)
        if as_json:
            print(orjson.dumps(found.model_dump(mode="json")).decode(), flush=True)
        else:
            show_comparison(found)
    if gate and found.verdict == "worse":
        raise typer.Exit(1)


def _positive(text: str) -> int:
    try:
        length = int(text)
    except ValueError:
        raise BadInput("--length", f"not a whole number: {store.shorten(text)}", mend="such as 4000") from None
    if length <= 0:
        raise BadInput("--length", f"{length}, but a length is positive", mend="such as 4000")
    return length


if __name__ == "__main__":
    app()
