"""The model registry: one version per checkpoint, addressed by alias or number, loaded without executing code from it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks import store
from tasks.schema.errors import BadInput
from tasks.schema.settings import settings
from tasks.tracking import alias_moves, checkpoint, runs
from tasks.tracking.client import connect, experiment, names
from tasks.tracking.gate import Decision
from tasks.tracking.transaction import Changes

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST = "checkpoint_digest"
TRAINED = ("aligned/loss", "student/loss")  # final metrics; each training run has one of them
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
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name, description="Long-form writers. Address them by alias: champion, challenger.")
    if found := find(digest):
        return found
    model = client.create_logged_model(experiment(client), name=name, source_run_id=run_id, model_type="causal-lm", tags={DIGEST: digest})
    for path in kept:
        parent = path.relative_to(folder).parent.as_posix()
        client.log_model_artifact(model.model_id, str(path), artifact_path=None if parent == "." else parent)
    client.finalize_logged_model(model.model_id, "READY")
    _link(client, model.model_id, run_id)
    version = client.create_model_version(
        name, source=f"models:/{model.model_id}", run_id=run_id, model_id=model.model_id, tags={DIGEST: digest, **tags}
    )
    return _version(client, name, str(version.version))


def _link(client: "MlflowClient", model: str, run_id: str) -> None:
    """Links the logged model to its run, and records the last loss for this model and the run's datasets."""
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(run_id, [LoggedModelOutput(model, step=0)])
    run = client.get_run(run_id)
    losses = [value for name, value in sorted(run.data.metrics.items()) if name in TRAINED]
    for given in run.inputs.dataset_inputs if losses else ():
        data = given.dataset
        client.log_metric(run_id, "train_loss", losses[0], model_id=model, dataset_name=data.name, dataset_digest=data.digest)


def aliased(alias: str) -> Version | None:
    """Returns the version that an alias points to; None if there is none."""
    number = holders().get(alias)
    return None if number is None else version(number)


def holders() -> dict[str, str]:
    """Returns version numbers by alias; empty if nothing is registered."""
    client, name = connect(), names().model
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        return {}
    return {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()}


def version(number: str) -> Version:
    """Returns the version with this number. Raises BadInput if there is none."""
    return _version(connect(), names().model, number)


def versions() -> list[Version]:
    """Returns all versions, oldest first."""
    found = connect().search_model_versions(f"name = '{names().model}'")
    return sorted((Version(str(one.version), dict(one.tags)) for one in found), key=lambda one: int(one.number))


def is_champion(candidate: Version | None) -> bool:
    """Whether this version is the champion."""
    return candidate is not None and holders().get(names().aliases.champion) == candidate.number


def champion_for(candidate: Version | None) -> Version | None:
    """Returns the version to compare with: the champion, or the predecessor if the candidate is the champion; None if there is none."""
    if candidate is None or not is_champion(candidate):
        return aliased(names().aliases.champion)
    before = candidate.tags.get(alias_moves.BEFORE)
    return next((one for one in versions() if one.number == before), None)  # it may have been deleted


def find(digest: str) -> Version | None:
    """Returns the version with this checkpoint digest; None if there is none."""
    client, name = connect(), names().model
    found = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST}` = '{digest}'")
    return _version(client, name, str(found[0].version)) if found else None


def apply(version: Version, decision: Decision, *, tags: Mapping[str, str]) -> None:
    """Writes the decision to the version and moves the aliases, all or nothing. A second call changes nothing.

    Raises EndpointError if MLflow fails; then aliases, tags and description are restored.
    """
    axes = {f"gate.{axis.name}": str(axis) for axis in decision.axes}
    verdict = {**tags, **axes, "gate": "passed" if decision.passed else "failed", "evaluation_run": decision.evaluation_run}
    stale = {key: None for key in version.tags if key.startswith("gate.") and key not in axes}
    held = holders()
    with Changes(connect(), names().model) as changes:
        changes.tags(version.number, {**verdict, **stale})
        changes.describe(version.number, f"{decision.alias}: {decision.reason}")
        if decision.alias == "champion" and held.get(names().aliases.champion) != version.number:
            changes.tags(version.number, alias_moves.champion_tags(decision.champion_before))
        changes.aliases(alias_moves.after(decision, held, names().aliases))


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
            if checkpoint.digest(scratch) != version.tags[DIGEST]:
                raise BadInput(address, "the files differ from what was registered", fix="register the checkpoint again")
    return folder


def address(alias: str) -> str:
    """Returns `models:/NAME@ALIAS` of the pipeline's own model."""
    return f"models:/{names().model}@{alias}"


def _resolve(address: str) -> tuple[str, str]:
    """The model's name and the version's number. Raises BadInput for an invalid address, and for an alias that points to no version."""
    found = ADDRESS.fullmatch(address)
    if not found:
        raise BadInput(address, "not an address of the registry", fix="write it as models:/longwriter@champion or models:/longwriter/3")
    client, name = connect(), found["name"]
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        raise BadInput(address, f"no registered model {name}", fix="run the promote stage: `longwriter run`")
    aliases = {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()}
    if found["alias"] and found["alias"] not in aliases:
        known = f"use one of {', '.join(sorted(aliases))}" if aliases else "promote a model first: `longwriter run`"
        raise BadInput(address, "the alias points to no version", fix=known)
    return name, aliases[found["alias"]] if found["alias"] else found["number"]


def _refuse_foreign(address: str, below: str = "") -> None:
    import mlflow

    for entry in mlflow.artifacts.list_artifacts(f"{address}/{below}" if below else address):
        if entry.is_dir:
            _refuse_foreign(address, entry.path)
        else:
            checkpoint.refuse_foreign(address, [entry.path])


def _version(client: "MlflowClient", name: str, number: str) -> Version:
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise BadInput(f"models:/{name}/{number}", "no such version", fix="`longwriter models list` lists them") from None
    return Version(str(found.version), dict(found.tags))
