"""`python -m tasks.tracking`: the model registry from the command line."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from tasks.schema.errors import BadInput
from tasks.schema.params import load
from tasks.stage import one_line_errors
from tasks.tracking import registry, rollback
from tasks.tracking.alias_moves import PROMOTED
from tasks.tracking.client import answering, names

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Which = Annotated[str, typer.Argument(help="a version's number, or an alias", metavar="VERSION")]
Number = Annotated[str, typer.Argument(help="a version's number", metavar="NUMBER")]


@app.callback()
def tracking() -> None:
    """The model registry: who is champion, and the way back."""


@app.command()
def models() -> None:
    """Every version: its aliases, S̄, the gate's verdict, and when it became champion."""
    with one_line_errors(), answering():
        held = registry.holders()
        rows = [("version", "aliases", "S̄", "gate", "promoted")]
        for one in registry.versions():
            aliases = ", ".join(sorted(alias for alias, number in held.items() if number == one.number)) or "–"
            s_bar = one.score("s_bar")
            score = "–" if s_bar is None else f"{s_bar:.2f}"
            rows.append((one.number, aliases, score, one.tags.get("gate", "–"), one.tags.get(PROMOTED, "–")))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command(name="rollback")
def roll_back(reason: Annotated[str, typer.Option(help="why, for whoever looks at the versions later")] = "") -> None:
    """The version that `previous` points to is champion again, the fallen one challenger."""
    with one_line_errors(), answering():
        found = rollback.roll_back(reason)
        further = f"version {found.previous} is previous" if found.previous else "there is no previous any more"
        print(f"version {found.champion} is champion again, version {found.fallen} is challenger, {further}")


@app.command()
def allow(version: Which) -> None:
    """Let a version that was rolled back be promoted again."""
    with one_line_errors(), answering():
        number = _number(version)
        blocked = rollback.allow(number)
        print(f"version {number} {'may be promoted again' if blocked else 'was not rolled back; nothing to allow'}")


@app.command()
def preview(
    trained: Annotated[Path, typer.Argument(help="folder of the stage train")] = Path("data/train"),
    aligned: Annotated[Path, typer.Argument(help="folder of the stage align")] = Path("data/align"),
    scored: Annotated[Path, typer.Argument(help="folder of the stage score")] = Path("data/score"),
    general: Annotated[Path, typer.Argument(help="general.json of the stage evaluate_general")] = Path(
        "data/evaluate_general/general.json"
    ),
) -> None:
    """The scores, and what the stage promote would decide about them now, as Markdown. Registers nothing, moves nothing."""
    from tasks.promote import preview as previewed
    from tasks.tracking.approval import page

    with one_line_errors():
        print(page(*previewed(trained, aligned, scored, general, promote=load().promote)))


@app.command()
def approve(
    version: Which,
    by: Annotated[str, typer.Option(help="who approves")],
    note: Annotated[str, typer.Option(help="what they want to be remembered")] = "",
) -> None:
    """Put on record who approved of a version's promotion."""
    from tasks.tracking.approval import approved

    with one_line_errors(), answering():
        number = _number(version)
        rollback.tag(number, approved(by, note))
        print(f"version {number} is approved by {' '.join(by.split())}")


@app.command()
def evaluated(
    version: Which,
    evaluation: Annotated[Path, typer.Argument(help="folder of `longwriter eval run models:/NAME/VERSION`", metavar="FOLDER")],
) -> None:
    """A newer evaluation of a version, under another judge or benchmark, takes the place of the one it was promoted with."""
    from tasks.tracking.evaluated import hand_in

    with one_line_errors(), answering():
        number = _number(version)
        run_id = hand_in(number, evaluation)
        print(f"version {number} is compared by evaluation run {run_id} from now on")


@app.command()
def unevaluated(as_json: Annotated[bool, typer.Option("--json", help="one JSON list on standard output")] = False) -> None:
    """Versions that nobody has evaluated under params.yaml's benchmark and judge, and how often that was tried."""
    from tasks.tracking.unevaluated import look

    with one_line_errors(), answering():
        found = look(load())
        if as_json:
            print(orjson.dumps([one.model_dump() for one in found]).decode())
            return
        for one in found:
            state = "given up" if one.given_up else "to be evaluated"
            print(f"version {one.number}: {state}, tried {one.tries}x{f': {one.failed}' if one.failed else ''}")
        if not found:
            print("nothing new")


@app.command()
def begin(number: Number) -> None:
    """Write down that a version is to be evaluated, once more, under params.yaml's benchmark and judge."""
    from tasks.tracking import unevaluated

    with one_line_errors(), answering():
        print(orjson.dumps(unevaluated.begin(number, load()).model_dump()).decode())


@app.command()
def fail(number: Number, reason: Annotated[str, typer.Option(help="of the failure, in a line")] = "") -> None:
    """Write down why a version's evaluation did not end well."""
    from tasks.tracking import unevaluated

    with one_line_errors(), answering():
        unevaluated.fail(number, reason)
        print(f"version {number} could not be evaluated")


def _number(version: str) -> str:
    """Raises BadInput for an alias that points to nothing."""
    if version.isdecimal():
        return version
    held = registry.holders()
    if version not in held:
        known = f"use one of {', '.join(sorted(held))}" if held else "promote a model first: `longwriter run`"
        raise BadInput(f"models:/{names().model}@{version}", "the alias points to no version", fix=known)
    return held[version]


if __name__ == "__main__":
    app()
