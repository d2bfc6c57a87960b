"""Publish the pipeline's own results: the dataset that passed its contract, and the trained checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from tasks.schema.contract_results import ContractVerdict
from tasks.schema.errors import BadInput, GateFailed
from tasks.storage import paths, versions
from tasks.storage.client import connect
from tasks.storage.manifest import describe
from tasks.storage.place import Place
from tasks.storage.publish import PublishedVersion, publish
from tasks.tracking import checkpoint
from tasks.tracking.commit import commit
from tasks.tracking.gate import Promoted

DATASET, CHECKPOINT = "dataset", "checkpoint"
MODEL = "model_version"  # label of a checkpoint: its version in the model registry
PROMOTED = Path("data/promote/promoted.json")
DATA, VERDICT = Path("data/assemble/dataset"), Path("data/validate_dataset/verdict.json")
STUDENT = Path("data/train/checkpoints/student")


class Release(NamedTuple):
    """A folder, or only `files` of it, to publish under a name."""

    name: str
    folder: Path
    files: tuple[Path, ...] | None = None
    labels: Mapping[str, str] = {}
    made_from: Path | None = None  # a source folder; if the store has a version of it, that version is kept as long as this one


def given(name: str, folder: Path | None) -> Release:
    """The release of `folder`; without a folder, the pipeline's own dataset or checkpoint.

    Raises BadInput if `name` has no default folder, and GateFailed if the pipeline's dataset did not pass its contract.
    """
    if folder is None:
        known = {DATASET: dataset, CHECKPOINT: student}
        if name not in known:
            raise BadInput(name, "no folder is given", fix=f"give the folder; only {' and '.join(known)} have a default")
        return known[name]()
    files = tuple(checkpoint.files(folder)) if name == CHECKPOINT else None
    return Release(name, folder, files, _code())


def dataset() -> Release:
    """The pipeline's dataset. Raises GateFailed if it did not pass its contract, BadInput if there is no verdict."""
    try:
        passed = ContractVerdict.model_validate_json(_text(VERDICT)).passed
    except ValidationError:
        raise BadInput(VERDICT, "not a verdict", fix="run the stage validate_dataset: `longwriter flow dataset`") from None
    if not passed:
        raise GateFailed(f"{VERDICT}: the dataset did not pass its contract; it is not published")
    return Release(DATASET, DATA, None, _code())


def student() -> Release:
    """The student's weights and tokenizer, without files that run code when they are loaded."""
    files = tuple(checkpoint.files(STUDENT))
    return Release(CHECKPOINT, STUDENT, files, {**_code(), "checkpoint_digest": checkpoint.digest(STUDENT)}, DATA)


def registered() -> Release:
    """The student, labelled with its model version from the promote stage. Raises BadInput if promote has not run."""
    try:
        number = Promoted.model_validate_json(_text(PROMOTED)).version
    except ValidationError:
        raise BadInput(PROMOTED, "not a result of the promote stage", fix="run `longwriter flow promotion` again") from None
    one = student()
    return one._replace(labels={**one.labels, MODEL: number})


def follow(held: Mapping[str, str], *, at: Place) -> dict[str, str]:
    """Set the store's aliases as in the registry. `held` is {alias: model version}; returns {alias: store version}.

    If a model version was never published, its alias is removed: no champion is better than an outdated one.
    """
    client = connect()
    published = {
        one.manifest.labels[MODEL]: one.manifest.version
        for one in versions.versions(client, at, CHECKPOINT)
        if MODEL in one.manifest.labels
    }
    for alias in set(versions.aliases(client, at, CHECKPOINT)) & set(held):
        if held[alias] not in published:
            versions.drop_alias(client, at, CHECKPOINT, alias)
    found = {alias: published[number] for alias, number in held.items() if number in published}
    for alias, version in found.items():
        versions.set_alias(client, at, CHECKPOINT, alias, version)
    return found


def release(
    one: Release, *, to: Place, version: str | None = None, aliases: tuple[str, ...] = (), uses: tuple[str, ...] = (), pickles: bool = False
) -> PublishedVersion:
    """Publish a release, and set the aliases to it. Raises as `publish`."""
    if one.made_from and one.made_from.is_dir():
        uses = (*uses, *_published(one.made_from, DATASET, to))
    done = publish(
        one.folder, one.name, to=to, version=version, files=one.files, labels=one.labels, uses=uses, pickles=pickles, label="publish"
    )
    for alias in aliases:
        versions.set_alias(connect(), to, one.name, alias, done.manifest.version)
    return done


def _published(folder: Path, name: str, at: Place) -> list[str]:
    """The NAME/VERSIONs in the store with this folder's content."""
    content = describe(folder, paths.files(folder), name=name, version=None).content
    return [f"{name}/{one.manifest.version}" for one in versions.versions(connect(), at, name) if one.manifest.content == content]


def _code() -> dict[str, str]:
    found = commit()
    return {"commit": f"{found.sha[:12]}{'+' if found.dirty else ''}"} if found else {}


def _text(path: Path) -> bytes:
    if not path.is_file():
        raise BadInput(path, "no such file", fix="run the stage that writes it: `longwriter run`")
    return path.read_bytes()
