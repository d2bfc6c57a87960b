"""Publish the pipeline's own results: the dataset that passed its contract, and the checkpoint that was registered.

A published checkpoint is the registered one by its digest, not by its version number. The aliases of the model registry (champion,
challenger, previous) mean in the store what they mean there, or nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from tasks.schema.contract_results import ContractVerdict
from tasks.schema.errors import BadInput, GateFailed
from tasks.storage import paths, versions
from tasks.storage.client import connect
from tasks.storage.manifest import Manifest, describe
from tasks.storage.place import Place
from tasks.storage.publish import PublishedVersion, publish
from tasks.tracking import checkpoint, outside, registry
from tasks.tracking.client import names
from tasks.tracking.commit import commit
from tasks.tracking.gate import Promoted

DATASET, CHECKPOINT = "dataset", "checkpoint"
MODEL, DIGEST = "model_version", "checkpoint_digest"  # labels of a checkpoint: its version in the registry, and what it is
PROMOTED = Path("data/promote/promoted.json")
DATA, VERDICT = Path("data/assemble/dataset"), Path("data/validate_dataset/verdict.json")
STUDENT, ALIGNED = Path("data/train/checkpoints/student"), Path("data/align/checkpoints/aligned")
REINFORCED = Path("data/reinforce/checkpoints/reinforced")


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
    return _checkpoint(folder) if name == CHECKPOINT else Release(name, folder, None, _code())


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
    return _checkpoint(STUDENT)._replace(made_from=DATA)


def _checkpoint(folder: Path) -> Release:
    return Release(CHECKPOINT, folder, tuple(checkpoint.files(folder)), {**_code(), DIGEST: checkpoint.digest(folder)})


def registered() -> Release:
    """The checkpoint that the stage promote registered: student, aligned or reinforced. Raises BadInput if promote has not run."""
    try:
        number = Promoted.model_validate_json(_text(PROMOTED)).version
    except ValidationError:
        raise BadInput(PROMOTED, "not a result of the promote stage", fix="run `longwriter flow promotion` again") from None
    return of_version(registry.version(number))


def of_version(version: registry.Version) -> Release:
    """A registered version: the workspace's checkpoint with its digest, else the registry's own files.

    Raises BadInput if the registry's files are gone or changed.
    """
    wanted = version.tags.get(registry.DIGEST)
    for folder in (REINFORCED, ALIGNED, STUDENT):
        if folder.is_dir() and (one := _checkpoint(folder)).labels[DIGEST] == wanted:
            return one._replace(labels={**one.labels, MODEL: version.number}, made_from=DATA)
    one = _checkpoint(registry.fetch(f"models:/{names().model}/{version.number}"))
    return one._replace(labels={DIGEST: one.labels[DIGEST], MODEL: version.number})  # the commit here is not the one that made it


class Followed(NamedTuple):
    """The registry's aliases in the store. `left` says why an alias is not as in the registry."""

    aliases: Mapping[str, str]  # store version by alias
    left: Mapping[str, str]


def follow(*, at: Place) -> Followed:
    """Set the store's aliases as in the registry, by digest; a version that the store lacks is published from the registry's files.

    An alias that the registry does not have, or that it gives to a version without files, is removed: no champion is better than an
    outdated one. A champion that has not been served yet waits: the store keeps the one before it until the stage serve has passed.
    """
    client, own = connect(), set(names().aliases.model_dump().values())
    held, left, found = registry.holders(), {}, {}
    published = _by_digest(at)
    for alias in sorted(own & set(held)):
        version = registry.version(held[alias])
        if alias == names().aliases.champion and (problem := unserved(version)):
            left[alias] = problem
            continue
        try:
            known = published.get(version.tags.get(registry.DIGEST, ""))
            found[alias] = known or release(of_version(version), to=at).manifest.version
            published[version.tags[registry.DIGEST]] = found[alias]
            versions.set_alias(client, at, CHECKPOINT, alias, found[alias])
        except BadInput as error:
            left[alias] = f"version {version.number} is not published: {error}"
            versions.drop_alias(client, at, CHECKPOINT, alias)
    for alias in (set(versions.aliases(client, at, CHECKPOINT)) & own) - set(held):
        left[alias] = "no version in the registry"
        versions.drop_alias(client, at, CHECKPOINT, alias)
    return Followed(found, left)


def unserved(version: registry.Version) -> str | None:
    """Why a version must not be offered as champion: the stage serve has not passed with it; None if it has."""
    said = version.tags.get("served", "")
    if said and not said.startswith("failed"):
        return None
    return f"version {version.number} {said or 'has not been served yet; run the stage serve: `longwriter run`'}"


def set_alias(at: Place, name: str, alias: str, version: str) -> str:
    """Sets an alias of the store; returns its version.

    Raises BadInput if the model registry has an alias of this name that points to another checkpoint.
    """
    if name == CHECKPOINT and alias in names().aliases.model_dump().values():
        agree(versions.resolve(connect(), at, name, version), alias, at=at)
    return versions.set_alias(connect(), at, name, alias, version)


def agree(found: Manifest, alias: str, *, at: Place) -> None:
    """Raises BadInput unless the registry's alias means this published checkpoint, by digest."""
    there = outside.asked()
    number = there.model().aliases.get(alias)
    if number is not None and (there.tags(number) or {}).get(registry.DIGEST) == found.labels.get(DIGEST):
        return
    means = f"version {number}, another checkpoint" if number else "no version"
    problem = f"{alias} is {means} in the model registry, and the store follows it"
    raise BadInput(f"{at}{CHECKPOINT}/{found.version}", problem, fix="`longwriter store follow`")


def _by_digest(at: Place) -> dict[str, str]:
    """{checkpoint digest: store version}, the newest of each; only versions with the files of that digest."""
    return {
        one.manifest.labels[DIGEST]: one.manifest.version
        for one in versions.versions(connect(), at, CHECKPOINT)
        if DIGEST in one.manifest.labels
    }


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
        set_alias(to, one.name, alias, done.manifest.version)
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
