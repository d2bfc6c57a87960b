"""`python -m tasks.release`: release a version of the dataset, compare two versions, import external files with a checksum, and push
models and datasets to the Hugging Face hub."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from tasks.schema.errors import BadInput
from tasks.stage import one_line_errors

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from tasks.release.hub import PreparedPush

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def releases() -> None:
    """Releases of the dataset."""


Public = Annotated[bool, typer.Option("--public", help="create a public repository, or push to one; default: private")]
Direct = Annotated[bool, typer.Option("--direct", help="commit to main; default: a pull request")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="show what would be sent, and send nothing")]


@app.command()
def release(
    version: Annotated[str, typer.Argument(help="v1.0.0: major, minor, patch")],
    data: Annotated[Path, typer.Option(help="the pipeline's data folder")] = Path("data"),
    hub: Annotated[str, typer.Option(help="push the release to this dataset of the hub: organisation/name", metavar="REPO")] = "",
    public: Public = False,
    direct: Direct = False,
    dry_run: DryRun = False,
) -> None:
    """Write the release folder with its card, track it with DVC, commit, and create the GTO tag. With --hub, push it to the hub too.

    The hub's token is read from HF_TOKEN. A release that exists already is pushed as it was released; a push that was interrupted goes on.
    """
    with one_line_errors():
        from tasks.release import data_push
        from tasks.release.build import exists

        if not hub and (public or direct or dry_run):
            raise BadInput("--public, --direct and --dry-run", "they are for --hub", fix="add --hub organisation/name")
        ready = data_push.check(hub, public=public, direct=direct) if hub else None
        if not (hub and exists(version)):
            _release(version, data, dry_run=dry_run)
        if ready and exists(version):
            with data_push.prepared(*ready, version) as push:
                _send(ready[0], push, dry_run=dry_run)


def _release(version: str, data: Path, *, dry_run: bool) -> None:
    from tasks.release.build import release as made

    if dry_run:
        print(f"{version} is not released yet; without --dry-run it is released, and then pushed")
        return
    tag, folder = made(data, version)
    name, _, number = tag.partition("@")
    _record(name, number, folder)
    print(f"{tag}: {folder}, its card {folder / 'README.md'}")
    print(f"share it:  dvc push {folder}.dvc && git push --follow-tags")
    print(f"get it:    dvc artifacts get URL {name} --rev {number}")


@app.command()
def push(
    version: Annotated[str, typer.Argument(help="a version's number, or an alias", metavar="VERSION")],
    repo: Annotated[str, typer.Argument(help="model on the hub: organisation/name", metavar="REPO")],
    licence: Annotated[str, typer.Option(help="SPDX identifier; default: the licence of the base model")] = "",
    gguf: Annotated[Path | None, typer.Option(help="a file that `longwriter models export` wrote for this version")] = None,
    public: Public = False,
    direct: Direct = False,
    dry_run: DryRun = False,
) -> None:
    """Push a version to the Hugging Face hub, with a card made from its lineage and scores.

    The repository is private and the push a pull request, unless you say otherwise. The token is read from HF_TOKEN. A push that was
    interrupted goes on when it is repeated: nothing is sent twice, and the pull request stays the same.
    """
    with one_line_errors():
        from tasks.release.hub import sign_in
        from tasks.release.model_push import prepare
        from tasks.tracking.client import answering
        from tasks.tracking.registry import number_of

        api = sign_in()
        with answering():
            ready = prepare(api, number_of(version), repo, licence=licence, gguf=gguf, public=public, direct=direct)
        _send(api, ready, dry_run=dry_run)


@app.command()
def export(
    version: Annotated[str, typer.Argument(help="a version's number, or an alias", metavar="VERSION")],
    out: Annotated[Path, typer.Argument(help="the GGUF file to write", metavar="FILE")],
    weights: Annotated[str, typer.Option(help="f16: 16 bits; q8_0: blocks of 8 bits, half the size")] = "f16",
    converter: Annotated[str, typer.Option(help="llama.cpp's convert_hf_to_gguf.py, for models that are no Llama")] = "",
    prompts: Annotated[Path | None, typer.Option(help="prompts with lengths for the check; default: study.ruler of params.yaml")] = None,
    samples: Annotated[int, typer.Option(min=0, help="answers to each prompt; default: predict.samples of params.yaml")] = 0,
) -> None:
    """Write a version as a GGUF file for llama.cpp, and check that it still writes what the version writes.

    Both answer the same prompts. The file gets its name, and the version a tag with its digest, only if length and loops of the answers
    agree within the 95% intervals of the version's.
    """
    with one_line_errors():
        from tasks.models.to_gguf import TOLERANCE
        from tasks.release.gguf_export import export as exported
        from tasks.schema.params import load
        from tasks.tracking.client import answering
        from tasks.tracking.registry import number_of

        kind = next((name for name in TOLERANCE if name == weights), None)
        if kind is None:
            raise BadInput("--weights", f"{weights} is not known", fix=f"use one of {', '.join(TOLERANCE)}")
        params = load()
        with answering():
            found = exported(
                number_of(version),
                out,
                model=params.models.candidate,
                seed=params.seed,
                prompts=prompts or Path(params.study.ruler),
                samples=samples or params.predict.samples,
                weights=kind,
                converter=converter,
            )
    print(f"{out}: {found}")


def _send(api: "HfApi", ready: "PreparedPush", *, dry_run: bool) -> None:
    """Show the plan, send it, and show where it is."""
    from tasks.release.hub import push as sent
    from tasks.release.hub import size

    print(ready.plan, flush=True)
    if dry_run:
        print("nothing was sent (--dry-run)")
        return
    done = sent(api, ready.to, ready.plan, ready.uploads, description=ready.description)
    print(f"{f'sent {done.files} files, {size(done.bytes)}' if done.files else 'nothing to send: the hub has these files'}: {done.url}")


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
