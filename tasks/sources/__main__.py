"""`longwriter data pin PATTERN…` (`python -m tasks.sources pin`): print the revision that pins the files that match now."""

from typing import Annotated

import orjson
import typer

from tasks import stage
from tasks.schema.errors import BadInput

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def sources() -> None:
    """Sources of raw rows."""


@app.command()
def pin(
    files: Annotated[list[str], typer.Argument(help="an entry's files: s3://bucket/pattern …, or hf://datasets/organisation/name")],
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Print the current revision of remote files, for their entry in params.yaml."""
    from tasks.sources import bucket, hub

    with stage.one_line_errors():
        if all(file.startswith("s3://") for file in files):
            revision = bucket.pin(files)
        elif all(file.startswith(hub.PREFIX) for file in files):
            revision = hub.pin(files[0])
        else:
            if local := next((file for file in files if not file.startswith(("s3://", hub.PREFIX))), None):
                raise BadInput(local, "neither in S3 nor on the Hugging Face hub", fix="leave it out: DVC tracks local files")
            raise BadInput(files[-1], "not where the other files are", fix="pin s3:// files and hf://datasets/ files in separate calls")
        print(orjson.dumps({"files": files, "revision": revision}).decode() if as_json else revision)


if __name__ == "__main__":
    app()
