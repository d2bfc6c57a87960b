"""The model registry: one version per checkpoint, addressed by alias only, loaded without executing anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks import store
from tasks.schema.errors import BadInput
from tasks.schema.settings import settings
from tasks.tracking import checkpoint
from tasks.tracking.client import connect, experiment, names
from tasks.tracking.gate import Decision, Reign

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST = "checkpoint_digest"


class Version(NamedTuple):
    """A registered version. `number` is text: stores differ in whether an alias points to 3 or "3"."""

    number: str
    tags: Mapping[str, str]

    def score(self, name: str) -> float | None:
        """A score recorded as a tag, such as s_bar; None where it was not scored."""
        return float(self.tags[name]) if self.tags.get(name) else None


def register(folder: Path, *, run_id: str, tags: Mapping[str, str]) -> Version:
    """The checkpoint as a model version, new or found again by its digest. Files are copied, weights never read into memory."""
    kept, digest = checkpoint.files(folder), checkpoint.digest(folder)
    client, name = connect(), names().model
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name, description="Long-form writers. Address them by alias: champion, challenger.")
    if found := client.search_model_versions(f"name = '{name}' and tags.`{DIGEST}` = '{digest}'"):
        return _version(client, str(found[0].version))
    model = client.create_logged_model(experiment(client), name=name, source_run_id=run_id, model_type="causal-lm", tags={DIGEST: digest})
    for path in kept:
        parent = path.relative_to(folder).parent.as_posix()
        client.log_model_artifact(model.model_id, str(path), artifact_path=None if parent == "." else parent)
    client.finalize_logged_model(model.model_id, "READY")
    version = client.create_model_version(
        name, source=f"models:/{model.model_id}", run_id=run_id, model_id=model.model_id, tags={DIGEST: digest, **tags}
    )
    return _version(client, str(version.version))


def aliased(alias: str) -> Version | None:
    """The version that an alias points to, or None."""
    client = connect()
    found = client.search_registered_models(filter_string=f"name = '{names().model}'")
    number = dict(client.get_registered_model(names().model).aliases).get(alias) if found else None
    return None if number is None else _version(client, str(number))


def reigning() -> Reign | None:
    """The champion and its S̄, or None while there is none."""
    champion = aliased(names().aliases.champion)
    return None if champion is None else Reign(champion.number, champion.score("s_bar"))


def apply(version: Version, decision: Decision, *, tags: Mapping[str, str]) -> None:
    """Write the decision and its reason on the version, then move the aliases; a dethroned champion becomes the challenger."""
    client, name, aliases = connect(), names().model, names().aliases
    client.update_model_version(name, version.number, description=f"{decision.alias}: {decision.reason}")
    axes = {f"gate.{axis.name}": str(axis) for axis in decision.axes}
    for key, value in {**tags, **axes, "gate": "passed" if decision.passed else "failed"}.items():
        client.set_model_version_tag(name, version.number, key, value)
    if decision.alias == "challenger":
        client.set_registered_model_alias(name, aliases.challenger, version.number)
    elif decision.champion_before != version.number:
        if decision.champion_before is not None:
            client.set_registered_model_alias(name, aliases.challenger, decision.champion_before)
        elif (holder := aliased(aliases.challenger)) and holder.number == version.number:
            client.delete_registered_model_alias(name, aliases.challenger)
        client.set_registered_model_alias(name, aliases.champion, version.number)


def download(alias: str) -> Path:
    """The checkpoint behind an alias, as a local folder that transformers and vLLM load. Fetched once per version.

    Raises BadInput if the alias points to nothing, a pickle is among the files, or they are not what was registered.
    """
    import mlflow

    address = f"models:/{names().model}@{alias}"
    version = aliased(alias)
    if version is None:
        raise BadInput(address, "the alias points to no version", mend="run the stage promote: `make run`")
    folder = settings().home / "models" / f"{names().model}-{version.number}-{version.tags[DIGEST][:12]}"
    if not folder.is_dir():
        _refuse_remote_pickles(address)
        with store.replacing(folder) as scratch:
            scratch.mkdir()
            mlflow.artifacts.download_artifacts(address, dst_path=str(scratch))
            if checkpoint.digest(scratch) != version.tags[DIGEST]:
                raise BadInput(address, "the files differ from what was registered", mend="register the checkpoint again")
    return folder


def _refuse_remote_pickles(address: str, below: str = "") -> None:
    import mlflow

    for entry in mlflow.artifacts.list_artifacts(f"{address}/{below}" if below else address):
        if entry.is_dir:
            _refuse_remote_pickles(address, entry.path)
        checkpoint.refuse_pickles(address, [entry.path])


def _version(client: "MlflowClient", number: str) -> Version:
    found = client.get_model_version(names().model, number)
    return Version(str(found.version), dict(found.tags))
