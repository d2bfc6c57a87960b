"""`longwriter models` (`python -m tasks.tracking`): commands of the model registry."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from tasks.schema.params import load
from tasks.schema.records import Record
from tasks.stage import one_line_errors
from tasks.tracking import registry, rollback
from tasks.tracking.alias_moves import PROMOTED
from tasks.tracking.client import answering

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Which = Annotated[str, typer.Argument(help="a version's number, or an alias", metavar="VERSION")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
Number = Annotated[str, typer.Argument(help="a version's number", metavar="NUMBER")]


@app.callback()
def tracking() -> None:
    """The model registry: versions, the champion, rollback."""


class RegistryVersion(Record):
    """A version of the registry, as `models` shows it."""

    version: str
    aliases: tuple[str, ...]
    s_bar: float | None  # None: it has no score
    gate: str | None  # the gate's verdict; None: it was not at the gate
    promoted: str | None  # when it became champion


@app.command()
def models(as_json: Json = False) -> None:
    """List every version: its aliases, S̄, the gate's verdict, and when it became champion."""
    with one_line_errors(), answering():
        held = registry.holders()
        found = [
            RegistryVersion(
                version=one.number,
                aliases=tuple(sorted(alias for alias, number in held.items() if number == one.number)),
                s_bar=one.score("s_bar"),
                gate=one.tags.get("gate"),
                promoted=one.tags.get(PROMOTED),
            )
            for one in registry.versions()
        ]
        if as_json:
            print(orjson.dumps([one.model_dump() for one in found]).decode())
            return
        rows = [("version", "aliases", "S̄", "gate", "promoted")]
        for one in found:
            score = "–" if one.s_bar is None else f"{one.s_bar:.2f}"
            rows.append((one.version, ", ".join(one.aliases) or "–", score, one.gate or "–", one.promoted or "–"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command(name="rollback")
def roll_back(reason: Annotated[str, typer.Option(help="why, for whoever looks at the versions later")] = "") -> None:
    """Make the version with the alias `previous` champion again, and the current champion challenger."""
    with one_line_errors(), answering():
        found = rollback.roll_back(reason)
        further = f"version {found.previous} is previous" if found.previous else "there is no previous any more"
        print(f"version {found.champion} is champion again, version {found.fallen} is challenger, {further}")


@app.command()
def allow(version: Which) -> None:
    """Let a version be promoted again that was rolled back, or could not be served."""
    with one_line_errors(), answering():
        number = registry.number_of(version)
        blocked = rollback.allow(number)
        print(f"version {number} {'may be promoted again' if blocked else 'is not blocked; nothing to allow'}")


@app.command()
def preview(
    trained: Annotated[Path, typer.Argument(help="folder of the stage train")] = Path("data/train"),
    aligned: Annotated[Path, typer.Argument(help="folder of the stage align")] = Path("data/align"),
    reinforced: Annotated[Path, typer.Argument(help="folder of the stage reinforce")] = Path("data/reinforce"),
    scored: Annotated[Path, typer.Argument(help="folder of the stage score")] = Path("data/score"),
    general: Annotated[Path, typer.Argument(help="general.json of the stage evaluate_general")] = Path(
        "data/evaluate_general/general.json"
    ),
    as_json: Json = False,
) -> None:
    """Print the scores, and what the stage promote would decide now, as Markdown. Registers nothing and moves no alias."""
    from tasks.tracking.approval import page
    from tasks.tracking.candidates import Checkpoints
    from tasks.tracking.candidates import preview as previewed

    with one_line_errors():
        card, decision = previewed(Checkpoints(trained, aligned, reinforced), scored, general, promote=load().promote)
        if as_json:
            shown = {"scorecard": card.model_dump(mode="json", exclude={"ruler"}), "decision": decision.model_dump(mode="json")}
            print(orjson.dumps(shown).decode())
        else:
            print(page(card, decision))


@app.command()
def approve(
    version: Which,
    by: Annotated[str, typer.Option(help="who approves")],
    note: Annotated[str, typer.Option(help="a note that is stored with the decision")] = "",
) -> None:
    """Record who approved a version's promotion."""
    from tasks.tracking.approval import approved

    with one_line_errors(), answering():
        number = registry.number_of(version)
        rollback.tag(number, approved(by, note))
        print(f"version {number} is approved by {' '.join(by.split())}")


@app.command()
def evaluated(
    version: Which,
    evaluation: Annotated[Path, typer.Argument(help="folder of `longwriter eval run models:/NAME/VERSION`", metavar="FOLDER")],
) -> None:
    """Replace the evaluation of a version by a newer one, made with another judge or benchmark."""
    from tasks.tracking.evaluated import hand_in

    with one_line_errors(), answering():
        number = registry.number_of(version)
        run_id = hand_in(number, evaluation)
        print(f"version {number} is compared by evaluation run {run_id} from now on")


@app.command()
def unevaluated(as_json: Json = False) -> None:
    """List versions without an evaluation under params.yaml's benchmark and judge, with the number of tries."""
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
    """Record that an evaluation of a version starts, under params.yaml's benchmark and judge. Counts as one try."""
    from tasks.tracking import unevaluated

    with one_line_errors(), answering():
        print(orjson.dumps(unevaluated.begin(number, load()).model_dump()).decode())


@app.command()
def fail(number: Number, reason: Annotated[str, typer.Option(help="reason of the failure, in one line")] = "") -> None:
    """Record why a version's evaluation failed."""
    from tasks.tracking import unevaluated

    with one_line_errors(), answering():
        unevaluated.fail(number, reason)
        print(f"version {number} could not be evaluated")


if __name__ == "__main__":
    app()
