"""The model registry: one version per checkpoint, addressed by alias or number, loaded without executing code from it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from tasks import store
from tasks.schema.errors import BadInput, PipelineError
from tasks.schema.redaction import redact
from tasks.schema.settings import settings
from tasks.tracking import alias_moves, checkpoint, flavor, runs, turn
from tasks.tracking.client import EXISTS, GONE, connect, created, experiment, names, sent_once
from tasks.tracking.gate import Decision
from tasks.tracking.transaction import Changes

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import RegisteredModel

    from mlflow import MlflowClient

DIGEST = "checkpoint_digest"  # tag of a version
SIZE = "checkpoint_bytes"  # tag of a version: the size of its files together
MODEL = "model_id"  # tag of a version: its logged model. MLflow's own field of this name is not kept by its SQL stores
GGUF, GGUF_CHECK = "gguf_sha256", "gguf_check"  # tags of a version: its checked export for llama.cpp, and what the check found
IDENTITY = "registry"  # tag of the registered model: a random id, the same for every client of this registry
WAITS = "passed the gate, becomes champion once it has been served: "  # the beginning of a version's description
TRAINED = ("reinforced/loss", "aligned/loss", "student/loss")  # final metrics; each training run has one of them
ADDRESS = re.compile(r"models:/(?P<name>[^/@:']+)(?:@(?P<alias>[^/@]+)|/(?P<number>[1-9]\d*))")


class Version(NamedTuple):
    """A registered version. `number` is a string, because stores differ in whether an alias points to 3 or "3"."""

    number: str
    tags: Mapping[str, str]

    def score(self, name: str) -> float | None:
        """Returns a score recorded as a tag, such as s_bar; None if unscored."""
        return float(self.tags[name]) if self.tags.get(name) else None


def register(folder: Path, *, run_id: str, tags: Mapping[str, str]) -> Version:
    """Registers the checkpoint as a model version, or returns the version with its digest. Files are copied; weights are not loaded."""
    kept, digest = checkpoint.files(folder), checkpoint.digest(folder)
    client, name = connect(), names().model
    _create(client, name)
    if found := find(digest):
        return found
    model = _logged(client, folder, kept, digest=digest, run_id=run_id)
    _link(client, model, run_id)
    size = str(sum(path.stat().st_size for path in kept))
    own = {DIGEST: digest, SIZE: size, MODEL: model}

    def create() -> Version:
        made = client.create_model_version(name, source=f"models:/{model}", run_id=run_id, model_id=model, tags={**own, **tags})
        return Version(str(made.version), {**own, **tags})

    with turn.alone():
        return find(digest) or created(create, lambda: find(digest))  # another machine may have registered it meanwhile


def _logged(client: "MlflowClient", folder: Path, kept: list[Path], *, digest: str, run_id: str) -> str:
    """The id of the logged model with the checkpoint's files.

    One that is there, from an interrupted registration or of a deleted version, is used again. Its files are stored again in any case,
    because some may be missing.
    """
    begun, about, tags = experiment(client), f"tags.{DIGEST} = '{digest}' AND source_run_id = '{run_id}'", {DIGEST: digest}

    def search() -> "LoggedModel | None":
        return next(iter(client.search_logged_models([begun], filter_string=about, max_results=1)), None)

    def create() -> "LoggedModel":
        return client.create_logged_model(begun, name=names().model, source_run_id=run_id, model_type="causal-lm", tags=tags)

    model = search() or created(create, search)
    with TemporaryDirectory() as scratch:
        files = [flavor.Artifact(path, _below(folder, path)) for path in kept]
        for one in [*files, *flavor.artifacts(folder, kept, Path(scratch), model_id=model.model_id, run_id=run_id)]:
            client.log_model_artifact(model.model_id, str(one.path), artifact_path=one.folder)
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _below(folder: Path, path: Path) -> str | None:
    """The folder of a file below the checkpoint's root; None for the root itself."""
    parent = path.relative_to(folder).parent.as_posix()
    return None if parent == "." else parent


def _create(client: "MlflowClient", name: str) -> None:
    """Creates the registered model with its identity, unless it exists. Of two machines at the same time, one creates it."""
    from mlflow.exceptions import MlflowException

    found = _model(client, name)
    if found is None:
        about, tags = "Long-form writers. Address them by alias: champion, challenger.", {IDENTITY: uuid4().hex}
        try:
            client.create_registered_model(name, tags=tags, description=about)
        except MlflowException as error:
            if error.error_code != EXISTS:
                raise
    elif IDENTITY not in found.tags:
        client.set_registered_model_tag(name, IDENTITY, uuid4().hex)


def identity() -> str | None:
    """Returns the registry's identity; None if nothing was registered there."""
    found = _model(connect(), names().model)
    return None if found is None else dict(found.tags).get(IDENTITY)


def _model(client: "MlflowClient", name: str) -> "RegisteredModel | None":
    """The registered model with its tags and aliases; None if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        found: RegisteredModel = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != GONE:
            raise
        return None
    return found


def _link(client: "MlflowClient", model: str, run_id: str) -> None:
    """Links the logged model to its run, and records the last loss for this model and the run's datasets. A second call changes nothing."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    run = client.get_run(run_id)
    if model not in _outputs(run):
        try:
            with sent_once():
                client.log_outputs(run_id, [LoggedModelOutput(model, step=0)])
        except MlflowException:  # a request without a reply may have been carried out
            if model not in _outputs(client.get_run(run_id)):
                raise
    losses = [value for name, value in sorted(run.data.metrics.items()) if name in TRAINED]
    for given in run.inputs.dataset_inputs if losses else ():
        about = {"dataset_name": given.dataset.name, "dataset_digest": given.dataset.digest}
        client.log_metric(run_id, "train_loss", losses[0], timestamp=run.info.start_time, model_id=model, **about)


def _outputs(run: "Run") -> set[str]:
    """The ids of the logged models that are outputs of a run."""
    return {str(output.model_id) for output in run.outputs.model_outputs} if run.outputs else set()


def aliased(alias: str) -> Version | None:
    """Returns the version that an alias points to; None if there is none."""
    number = holders().get(alias)
    return None if number is None else version(number)


def holders() -> dict[str, str]:
    """Returns version numbers by alias; empty if nothing is registered."""
    found = _model(connect(), names().model)
    return {} if found is None else {alias: str(number) for alias, number in found.aliases.items()}


def number_of(version: str) -> str:
    """The number of a version that is given by number or alias. Raises BadInput for an alias that points to no version."""
    if version.isdecimal():
        return version
    held = holders()
    if version not in held:
        known = f"use one of {', '.join(sorted(held))}" if held else "promote a model first: `longwriter run`"
        raise BadInput(f"models:/{names().model}@{version}", "the alias points to no version", fix=known)
    return held[version]


def version(number: str) -> Version:
    """Returns the version with this number. Raises BadInput if there is none."""
    return _version(connect(), names().model, number)


def versions() -> list[Version]:
    """Returns all versions, oldest first."""
    found = connect().search_model_versions(f"name = '{names().model}'")
    return sorted((Version(str(one.version), dict(one.tags)) for one in found), key=lambda one: int(one.number))


def champion_for(candidate: Version | None, champion: str | None) -> Version | None:
    """Returns the version to compare with; None if there is none. `champion` is the number of the current champion.

    It is the champion, or the predecessor if the candidate is the champion.
    """
    if champion is None:
        return None
    if candidate is None or candidate.number != champion:
        return version(champion)
    before = candidate.tags.get(alias_moves.BEFORE)
    return next((one for one in versions() if one.number == before), None)  # it may have been deleted


def find(digest: str) -> Version | None:
    """Returns the version with this checkpoint digest, the first if there are several; None if there is none."""
    found = connect().search_model_versions(f"name = '{names().model}' and tags.`{DIGEST}` = '{digest}'")
    first = min(found, key=lambda one: int(one.version), default=None)
    return Version(str(first.version), dict(first.tags)) if first else None


class ChampionMoved(PipelineError):
    """The alias champion points to another version than the decision was made against. Decide again."""


def apply(version: Version, decision: Decision, *, tags: Mapping[str, str]) -> None:
    """Writes the decision to the version, all or nothing. A second call changes nothing.

    A version that failed becomes challenger. One that passed waits until it has been served, and `make_champion` moves the alias.
    Raises ChampionMoved, with nothing changed, if the champion is another version than the one that the decision compared with.
    Raises EndpointError if MLflow fails; then aliases, tags and description are restored.
    """
    axes = {f"gate.{axis.name}": str(axis) for axis in decision.axes}
    verdict = {**tags, **axes, "gate": "passed" if decision.passed else "failed", "evaluation_run": decision.evaluation_run}
    stale = {key: None for key in version.tags if key.startswith("gate.") and key not in axes}
    held, aliases = holders(), names().aliases
    champion = held.get(aliases.champion)
    if champion not in (version.number, decision.champion_before):
        raise _moved(version.number, decision.champion_before, champion)
    with Changes(connect(), names().model) as changes:
        if decision.alias == "challenger":
            changes.tags(version.number, {**verdict, **stale, alias_moves.SINCE: None, alias_moves.AGAINST: None})
            changes.describe(version.number, f"challenger: {decision.reason}")
            changes.aliases({aliases.challenger: version.number})
        elif champion == version.number:
            changes.tags(version.number, {**verdict, **stale})
            changes.describe(version.number, f"champion: {decision.reason}")
        else:
            changes.tags(version.number, {**verdict, **stale, **alias_moves.waiting_tags(version.tags, champion)})
            changes.describe(version.number, f"{WAITS}{decision.reason}")
    if (holder := holders().get(aliases.champion)) != champion:
        raise _moved(version.number, champion, holder)


def make_champion(number: str, *, tags: Mapping[str, str]) -> None:
    """Makes a version that waits and has been served the champion, all or nothing. The version gets `tags`. A second call changes nothing.

    Raises ChampionMoved, with no alias moved, if the champion is another version than the gate compared with. Raises EndpointError if
    MLflow fails; then aliases, tags and description are restored.
    """
    with turn.alone():
        found, held, aliases = version(number), holders(), names().aliases
        champion = held.get(aliases.champion)
        if champion != number and not alias_moves.waits(found.tags, champion):
            raise _moved(number, found.tags.get(alias_moves.AGAINST), champion)
        text = connect().get_model_version(names().model, number).description or ""
        with Changes(connect(), names().model) as changes:
            changes.tags(number, tags)
            changes.describe(number, f"champion: {text.removeprefix(WAITS)}" if text.startswith(WAITS) else text)
            if champion != number:
                changes.tags(number, alias_moves.champion_tags(champion))
            before = champion if champion != number else None
            changes.aliases(alias_moves.after(number, before, held, aliases))
            changes.tags(number, {alias_moves.AGAINST: None})  # last, so that a killed change is completed by the next


def _moved(number: str, compared: str | None, champion: str | None) -> ChampionMoved:
    other = f"version {compared}" if compared else "no champion"
    now = f"version {champion} is champion now" if champion else "nobody is champion now"
    return ChampionMoved(f"version {number} was compared with {other}, and {now}; promote again")


def files_missing(number: str) -> str | None:
    """What is missing of a version's files in the registry's artifact store, from its list of files; None if nothing is."""
    from mlflow.exceptions import MlflowException

    found = version(number)
    try:
        sizes = {path: size for path, size in _listed(f"models:/{names().model}/{number}") if not flavor.is_own(path)}
    except (MlflowException, OSError) as error:
        return f"its files cannot be listed ({redact(' '.join(str(error).split()))[:120]})"
    if not any(path.endswith(".safetensors") for path in sizes):
        return "its weights are gone"
    known = found.tags.get(SIZE)
    have = sum(sizes.values())
    return f"its files have {have:,} bytes, and {int(known):,} were registered" if known and have < int(known) else None


def _listed(address: str, below: str = "") -> Iterator[tuple[str, int]]:
    """(path, bytes) of every file of a version."""
    import mlflow

    for entry in mlflow.artifacts.list_artifacts(f"{address}/{below}" if below else address):
        if entry.is_dir:
            yield from _listed(address, entry.path)
        else:
            yield str(entry.path), int(entry.file_size or 0)


def trained_digest(run_id: str) -> str | None:
    """Returns the digest of the checkpoint that a training run made. Raises MlflowException if there is no such run."""
    return connect().get_run(run_id).data.tags.get(runs.DIGEST)


def fetch(address: str) -> Path:
    """Returns the checkpoint at `models:/NAME@ALIAS` or `models:/NAME/VERSION` as a local folder for transformers and vLLM.

    A version is fetched once. Raises BadInput if there is no such version, if its files include a pickle, or if they differ from what was
    registered.
    """
    import mlflow

    name, number = _resolve(address)
    version = _version(connect(), name, number)
    if DIGEST not in version.tags:
        raise BadInput(address, f"no {DIGEST} tag: it was not registered by this pipeline", fix="register it by the stage promote")
    fixed = f"models:/{name}/{number}"
    folder = settings().home / "models" / f"{name}-{number}-{version.tags[DIGEST][:12]}"
    if not folder.is_dir():
        _refuse_foreign(fixed)
        with store.replacing(folder) as scratch:
            scratch.mkdir()
            mlflow.artifacts.download_artifacts(fixed, dst_path=str(scratch))
            _without_own(scratch)
            if checkpoint.digest(scratch) != version.tags[DIGEST]:
                raise BadInput(address, "the files differ from what was registered", fix="register the checkpoint again")
    return folder


def _without_own(folder: Path) -> None:
    """Removes MLflow's files from a downloaded version, so that the checkpoint's remain."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and flavor.is_own(path.relative_to(folder).as_posix()):
            path.unlink()
            with suppress(OSError):  # a folder with other files
                path.parent.rmdir()
    with suppress(OSError):
        (folder / flavor.TOKENIZER).parent.rmdir()


def address(alias: str) -> str:
    """Returns `models:/NAME@ALIAS` of the pipeline's own model."""
    return f"models:/{names().model}@{alias}"


def numbered(number: str) -> str:
    """Returns `models:/NAME/NUMBER` of the pipeline's own model."""
    return f"models:/{names().model}/{number}"


def _resolve(address: str) -> tuple[str, str]:
    """The model's name and the version's number. Raises BadInput for an invalid address, and for an alias that points to no version."""
    found = ADDRESS.fullmatch(address)
    if not found:
        raise BadInput(address, "not an address of the registry", fix="write it as models:/longwriter@champion or models:/longwriter/3")
    name = found["name"]
    if (model := _model(connect(), name)) is None:
        raise BadInput(address, f"no registered model {name}", fix="run the promote stage: `longwriter run`")
    aliases = {alias: str(number) for alias, number in model.aliases.items()}
    if found["alias"] and found["alias"] not in aliases:
        known = f"use one of {', '.join(sorted(aliases))}" if aliases else "promote a model first: `longwriter run`"
        raise BadInput(address, "the alias points to no version", fix=known)
    return name, aliases[found["alias"]] if found["alias"] else found["number"]


def _refuse_foreign(address: str) -> None:
    checkpoint.refuse_foreign(address, (path for path, _ in _listed(address) if not flavor.is_own(path)))


def _version(client: "MlflowClient", name: str, number: str) -> Version:
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code != GONE:
            raise
        raise BadInput(f"models:/{name}/{number}", "no such version", fix="`longwriter models list` lists them") from None
    return Version(str(found.version), dict(found.tags))
