"""`longwriter store`: publish, fetch and manage versions from the command line."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer

from tasks.schema.errors import BadInput
from tasks.stage import one_line_errors
from tasks.storage.place import place

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Name = Annotated[str, typer.Argument(help="of the collection: dataset, checkpoint, or any other", metavar="NAME")]
Which = Annotated[str, typer.Option("--version", help="a version, an alias, or `latest`")]
Store = Annotated[str, typer.Option("--store", help="s3://BUCKET/PREFIX; LONGWRITER_STORE's if left out")]
Pickles = Annotated[bool, typer.Option("--pickles", help="allow pickle files of a training's state; those of a model are always refused")]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on standard output")]


@app.callback()
def storage() -> None:
    """Folders as immutable versions in an S3 bucket."""


@app.command()
def publish(
    name: Name,
    folder: Annotated[Path | None, typer.Argument(help="folder to publish; default: the pipeline's dataset or checkpoint")] = None,
    version: Annotated[str | None, typer.Option(help="name of the version; default: the digest of its content")] = None,
    alias: Annotated[
        list[str] | None, typer.Option(help="an alias that points to this version from now on; can be given several times")
    ] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE to store with the version; can be given several times")] = None,
    uses: Annotated[
        list[str] | None, typer.Option(help="NAME/VERSION that this version was made from; it is kept as long as this version")
    ] = None,
    registered: Annotated[
        bool, typer.Option("--registered", help="publish the checkpoint that the stage promote registered, with its labels")
    ] = False,
    pickles: Pickles = False,
    store: Store = "",
    as_json: Json = False,
) -> None:
    """Publish a folder as a new version. A killed publication resumes when run again; publishing the same content again changes nothing."""
    from tasks.storage import release
    from tasks.tracking.client import answering

    with one_line_errors():
        to = place(store)
        with answering():
            one = release.registered() if registered else release.given(name, folder)
        one = one._replace(labels={**one.labels, **_pairs(label or [])})
        done = release.release(one, to=to, version=version, aliases=tuple(alias or []), uses=tuple(uses or []), pickles=pickles)
        _tell(
            as_json,
            f"{name}/{done.manifest.version} {'is published' if done.new else 'was there already'}: {len(done.manifest.files)} files, "
            f"{_size(done.manifest.size)}, {done.url}",
            {"name": name, "version": done.manifest.version, "new": done.new, "url": done.url, "size": done.manifest.size}
            | {"files": len(done.manifest.files), "parts_sent": done.sent, "parts_spared": done.spared},
        )


@app.command()
def fetch(
    name: Name,
    target: Annotated[Path, typer.Argument(help="folder to create")],
    version: Which = "latest",
    replace: Annotated[bool, typer.Option("--replace", help="replace the folder's content")] = False,
    pickles: Pickles = False,
    store: Store = "",
    as_json: Json = False,
) -> None:
    """Fetch a version into a folder. Every part is verified; the folder appears when complete. A killed fetch resumes when run again."""
    from tasks.storage import fetch as fetching

    with one_line_errors():
        _agree(name, version, store)
        done = fetching.fetch(name, target, source=place(store), version=version, replace=replace, pickles=pickles)
        _tell(
            as_json,
            f"{target} {'is' if done.new else 'was already'} {name}/{done.manifest.version}: {len(done.manifest.files)} files, "
            f"{_size(done.manifest.size)}, verified",
            {"name": name, "version": done.manifest.version, "new": done.new, "folder": str(target), "size": done.manifest.size}
            | {"files": len(done.manifest.files), "parts_fetched": done.fetched, "parts_spared": done.spared},
        )


def _agree(name: str, alias: str, store: str) -> None:
    """Raises BadInput if the team's registry gives an alias of a checkpoint to another one. Without such a registry nothing is asked."""
    from tasks.schema.settings import settings
    from tasks.storage import release, versions
    from tasks.storage.client import opened
    from tasks.tracking.client import names

    if name == release.CHECKPOINT and settings().tracking_uri and alias in names().aliases.model_dump().values():
        at, client = opened(store)
        release.agree(versions.resolve(client, at, name, alias), alias, at=at)


@app.command(name="list")
def list_(
    name: Annotated[str | None, typer.Argument(help="only the versions of this name", metavar="NAME")] = None,
    store: Store = "",
    as_json: Json = False,
) -> None:
    """List the versions of a name, or of all names, oldest first."""
    from tasks.storage import versions
    from tasks.storage.client import opened

    with one_line_errors():
        at, client = opened(store)
        found = [one for each in ([name] if name else versions.names(client, at)) for one in versions.versions(client, at, each)]
        rows = [("version", "published", "files", "size", "aliases", "labels")]
        for one in found:
            shown = " ".join(f"{key}={value}" for key, value in one.manifest.labels.items()) or "–"
            rows.append(
                (
                    f"{one.manifest.name}/{one.manifest.version}",
                    f"{one.published:%Y-%m-%d %H:%M}",
                    str(len(one.manifest.files)),
                    _size(one.manifest.size),
                    ", ".join(one.aliases) or "–",
                    shown,
                )
            )
        document = [
            {"name": one.manifest.name, "version": one.manifest.version, "published": one.published, "size": one.manifest.size}
            | {"files": len(one.manifest.files), "aliases": one.aliases, "labels": one.manifest.labels, "uses": one.manifest.uses}
            for one in found
        ]
        _tell(as_json, _table(rows) if found else f"{at}: nothing is published", document)


@app.command()
def link(
    name: Name,
    path: Annotated[str | None, typer.Argument(help="one file of the version; default: all files")] = None,
    version: Which = "latest",
    hours: Annotated[float, typer.Option(help="for which they can be read, up to 168")] = 1.0,
    store: Store = "",
    as_json: Json = False,
) -> None:
    """Print presigned links: anyone with a link may read its file without credentials until the link expires."""
    from tasks.storage import versions
    from tasks.storage.client import opened

    with one_line_errors():
        at, client = opened(store)
        found = versions.links(client, at, versions.resolve(client, at, name, version), seconds=int(hours * 3600), only=path)
        _tell(as_json, "\n".join(one.url for one in found), [one._asdict() for one in found])


@app.command()
def alias(name: Name, alias: str, version: Annotated[str, typer.Argument(help="a version, or another alias")], store: Store = "") -> None:
    """Set an alias, such as reviewed, to a version. The model registry's aliases of checkpoints, such as champion, follow the registry."""
    from tasks.storage import release
    from tasks.storage.client import opened

    with one_line_errors():
        at, _ = opened(store)
        print(f"{alias} is {name}/{release.set_alias(at, name, alias, version)}")


@app.command()
def follow(store: Store = "", as_json: Json = False) -> None:
    """Set the checkpoints' aliases as in the model registry, and publish what is missing. Run it after a promotion or a rollback."""
    from tasks.storage import release
    from tasks.storage.client import opened
    from tasks.tracking.client import answering

    with one_line_errors(), answering():
        at, _ = opened(store)
        found = release.follow(at=at)
        lines = [f"{alias} is checkpoint/{version}" for alias, version in found.aliases.items()]
        lines += [f"{alias}: {why}" for alias, why in found.left.items()]
        _tell(as_json, "\n".join(lines) or "the model registry has no aliases", {"aliases": found.aliases, "left": found.left})


@app.command()
def prune(
    name: Name,
    days: Annotated[float, typer.Option(help="delete what is older")],
    yes: Annotated[bool, typer.Option("--yes", help="delete; without this option the command only shows what it would delete")] = False,
    store: Store = "",
    as_json: Json = False,
) -> None:
    """Delete old versions, except the newest, those with an alias, and those that others were made from. Without --yes only show them."""
    from tasks.storage import prune as pruning
    from tasks.storage.client import opened

    with one_line_errors():
        at, client = opened(store)
        planned = pruning.plan(client, at, name, days=days)
        if yes:
            pruning.prune(client, at, planned)
        word = "gone" if yes else "would go"
        lines = [f"{one.manifest.name}/{one.manifest.version} {word}, {_size(one.manifest.size)}" for one in planned.versions]
        lines += [f"{one.manifest.name}/{one.manifest.version} stays: {why}" for one, why in planned.spared]
        lines.append(f"{len(planned.objects)} files, {_size(planned.size)}, and {len(planned.uploads)} unfinished uploads {word}")
        if not yes:
            lines.append("nothing is changed; --yes does it")
        document = {
            "done": yes,
            "versions": [one.manifest.version for one in planned.versions],
            "spared": {one.manifest.version: why for one, why in planned.spared},
            "files": len(planned.objects),
            "size": planned.size,
            "uploads": len(planned.uploads),
        }
        _tell(as_json, "\n".join(lines), document)


@app.command()
def bucket(
    store: Store = "",
    plain: Annotated[bool, typer.Option("--plain", help="nothing but the bucket, for servers that know no more")] = False,
    kms_key: Annotated[str, typer.Option(help="ARN of a KMS key; default: S3's own key")] = "",
) -> None:
    """Create the bucket: encrypted, versioned, private, TLS only, with lifecycle rules. Running it again changes nothing."""
    from tasks.storage import bucket as making
    from tasks.storage.client import connect

    with one_line_errors():
        at = place(store)
        print(f"s3://{at.bucket}: {', '.join(making.make(connect(), at, plain=plain, kms_key=kms_key))}")


def _pairs(given: list[str]) -> dict[str, str]:
    from tasks.storage.release import DIGEST, MODEL

    for pair in given:
        if pair.partition("=")[0] in (DIGEST, MODEL):
            problem = f"{pair.partition('=')[0]} says which registered checkpoint it is, and is set by --registered"
            raise BadInput("--label", problem, fix="use another label")
        if not pair.partition("=")[0] or "=" not in pair:
            raise BadInput("--label", f"{pair!r} is not KEY=VALUE", fix="write it as KEY=VALUE, such as team=news")
    return dict(pair.split("=", 1) for pair in given)


def _tell(as_json: bool, text: str, document: object) -> None:
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() if as_json else text)
    sys.stdout.write("\n")


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


if __name__ == "__main__":
    app()
