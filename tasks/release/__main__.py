"""`python -m tasks.release`: release a version of the dataset, compare two versions, and import external files with a checksum."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from tasks.stage import one_line_errors

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def releases() -> None:
    """Releases of the dataset."""


@app.command()
def release(
    version: Annotated[str, typer.Argument(help="v1.0.0: major, minor, patch")],
    data: Annotated[Path, typer.Option(help="the pipeline's data folder")] = Path("data"),
) -> None:
    """Write the release folder with its card, track it with DVC, commit, and create the GTO tag."""
    with one_line_errors():
        from tasks.release.build import release as made

        tag, folder = made(data, version)
        name, _, number = tag.partition("@")
        _record(name, number, folder)
    print(f"{tag}: {folder}, its card {folder / 'README.md'}")
    print(f"share it:  dvc push {folder}.dvc && git push --follow-tags")
    print(f"get it:    dvc artifacts get URL {name} --rev {number}")


def _record(name: str, number: str, folder: Path) -> None:
    """Record the release in MLflow, if this checkout uses it. The release is made: an MLflow that is away is a warning."""
    from tasks.progress import say
    from tasks.schema.errors import EndpointError
    from tasks.schema.settings import settings
    from tasks.tracking.client import answering, embedded_file
    from tasks.tracking.recording import record_release

    if not (settings().tracking_uri or embedded_file().is_file()):
        return
    try:
        with answering():
            record_release(name, number, folder)
    except EndpointError as error:
        say(f"warning: the release is not recorded: {error}")


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="a folder, a file, a git revision, or a version such as v1.0.0")],
    b: Annotated[str, typer.Argument(help="the same")],
    out: Annotated[Path, typer.Option(help="folder for the page and diff.json")] = Path("checks/diff"),
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object instead of lines")] = False,
) -> None:
    """Show rows added, removed and changed between A and B, and the distributions of lengths, languages and sources."""
    with one_line_errors():
        from tasks.release.diff import difference, text_of, write_page
        from tasks.release.sides import place_of, side_of

        with place_of(a) as first, place_of(b) as second:
            found = difference((a, b), side_of(first), side_of(second))
        page = write_page(found, out)
    print(orjson.dumps(found.model_dump(mode="json")).decode() if as_json else f"{text_of(found)}\n\n{page}")


@app.command("import")
def import_(
    url: Annotated[str, typer.Argument(help="https://…, s3://…, whatever dvc import-url takes")],
    out: Annotated[Path | None, typer.Option(help="path of the file; default: its own name, in data/raw")] = None,
    update: Annotated[bool, typer.Option("--update", help="fetch the file again if its source has changed")] = False,
) -> None:
    """Fetch an external file and pin it by its checksum."""
    with one_line_errors():
        from tasks.release.imports import import_file

        pinned, followed, changed = import_file(url, out, update=update)
    if update and not changed:
        print(f"{pinned}: the file has not changed at its origin")
        return
    print(f"{pinned}: git add {pinned} {pinned.with_name('.gitignore')}")
    again = f"longwriter data import {url} --out {pinned.with_suffix('')} --update"
    if followed:
        print(f"when the file changes at its origin:  dvc update {pinned}")
    else:
        print(f"the host sends no ETag and no date, so `dvc update` cannot see a change; when the file changes at its origin:  {again}")


if __name__ == "__main__":
    app()
