"""`longwriter eval verdicts` (`python -m tasks.judging verdicts FILE`): reads verdicts from recorded replies of a judge."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import orjson
import typer

from tasks.judging.grades import DIMENSIONS
from tasks.schema.records import Rubric
from tasks.stage import one_line_errors

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def judging() -> None:
    """Read the replies of LLM judges."""


@app.command()
def verdicts(
    path: Annotated[Path, typer.Argument(help="JSONL rows with `reply` (or `replies`), and `answer` where the judged text is known")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line for each row: the six grades, or null with the reason")] = False,
) -> None:
    """Print the six grades of each recorded reply, read as the judge's replies are, or why it has none. Sends no request."""
    with one_line_errors():
        read = unscored = 0
        for row in read_verdicts(path):
            read, unscored = read + 1, unscored + (row.rubric is None)
            print(orjson.dumps(row.fields()).decode() if as_json else _shown(row))
        if not as_json:
            print(f"{read:,} replies, {unscored:,} of them unscored")


class ReadReply(NamedTuple):
    """The verdict read from one row."""

    line: int
    id: str
    rubric: Rubric | None
    reason: str | None  # why there is no rubric; None with a rubric

    def fields(self) -> dict[str, str | int | None]:
        grades = self.rubric.model_dump() if self.rubric else dict.fromkeys(DIMENSIONS)
        return {"line": self.line, "id": self.id, **grades, "reason": self.reason}


def read_verdicts(path: Path) -> Iterator[ReadReply]:
    """Yields every row's verdict. Raises BadInput with line and field for a row without a reply."""
    from tasks.judging.rubric import parse_rubric
    from tasks.longbench.benchmark import entries
    from tasks.schema.errors import ReplyError

    for entry in entries(path):
        data = dict(entry.data)
        if "reply" not in data and isinstance(replies := data.get("replies"), list):
            data["reply"] = replies[-1] if replies else ""
        entry = entry._replace(data={name: "" if value is None else value for name, value in data.items()})
        reply = entry.text("reply", empty=True)
        answer = entry.text("answer", "response", empty=True) if entry.has("answer", "response") else ""
        name = str(data.get("id") or entry.line)
        try:
            yield ReadReply(entry.line, name, parse_rubric(reply, answer), None)
        except ReplyError as error:
            yield ReadReply(entry.line, name, None, str(error))


def _shown(row: ReadReply) -> str:
    if not row.rubric:
        return f"{row.id:12} unscored: {row.reason}"
    return f"{row.id:12} " + "  ".join(f"{name} {grade}" for name, grade in row.rubric.model_dump().items())


if __name__ == "__main__":
    app()
