"""Gather the facts of a model card from the registry: the version's scores, its evaluation, and the chain of its trainings."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tasks.longbench.scorecard import Scorecard
from tasks.schema.errors import BadInput
from tasks.tracking import lineage, registry, runs
from tasks.tracking.champion_scores import model_of, scorecard_of
from tasks.tracking.client import connect, names

GENERAL = "general."  # prefix of a version's tags: general ability by task
BEFORE = "training_run"  # tag of a run: the training that it started from
LONGEST = 8  # runs in a chain of trainings


class TrainedOn(NamedTuple):
    """A dataset that a training read."""

    name: str
    digest: str  # the first digits of the file's SHA-256, as many as MLflow keeps
    rows: str  # empty: not recorded


class Training(NamedTuple):
    """One training of the chain: SFT, alignment or reinforcement."""

    stage: str
    run_id: str
    commit: str  # empty: not recorded
    dirty: bool  # tracked files had changes
    data_version: str  # the MD5 by which DVC names the data; empty: not recorded
    params: Mapping[str, str]
    datasets: tuple[TrainedOn, ...]


class ModelFacts(NamedTuple):
    """Everything that the card of a version shows."""

    name: str  # of the registered model
    version: registry.Version
    model: str  # student, aligned or reinforced
    aliases: tuple[str, ...]
    trainings: tuple[Training, ...]  # first to last
    card: Scorecard | None  # None: not evaluated

    @property
    def digest(self) -> str:
        return self.version.tags[registry.DIGEST]

    @property
    def base(self) -> str:
        """The base model; empty if it was not recorded."""
        return next((training.params["base.model"] for training in self.trainings if "base.model" in training.params), "")

    @property
    def base_revision(self) -> str:
        return next((training.params.get("base.revision", "") for training in self.trainings if "base.model" in training.params), "")

    @property
    def general(self) -> dict[str, str]:
        """General ability by task, 0 to 1."""
        return {key.removeprefix(GENERAL): value for key, value in sorted(self.version.tags.items()) if key.startswith(GENERAL) and value}


def gather(number: str) -> ModelFacts:
    """The facts of a version. Raises BadInput if there is no such version, or if it was not registered by this pipeline."""
    version = registry.version(number)
    if registry.DIGEST not in version.tags:
        address = f"models:/{names().model}/{number}"
        raise BadInput(address, f"no {registry.DIGEST} tag: it was not registered by this pipeline", fix="register it by the stage promote")
    run_id = connect().get_model_version(names().model, number).run_id
    return ModelFacts(
        name=names().model,
        version=version,
        model=model_of(version),
        aliases=tuple(sorted(alias for alias, holder in registry.holders().items() if holder == version.number)),
        trainings=tuple(reversed([*_chain(run_id)])),
        card=scorecard_of(version),
    )


def _chain(run_id: str | None) -> Iterator[Training]:
    """The trainings of a version, last to first. Ends where a run is gone."""
    for _ in range(LONGEST):
        if not run_id or (run := runs.recorded(run_id)) is None:
            return
        tags = run.data.tags
        yield Training(
            stage=tags.get(runs.KIND, ""),
            run_id=run_id,
            commit=tags.get(lineage.COMMIT, ""),
            dirty=tags.get(lineage.DIRTY) == "true",
            data_version=tags.get(lineage.DATA, ""),
            params=dict(sorted(run.data.params.items())),
            datasets=tuple(_dataset(given.dataset) for given in run.inputs.dataset_inputs),
        )
        run_id = tags.get(BEFORE)


def _dataset(given: object) -> TrainedOn:
    import orjson

    profile = orjson.loads(getattr(given, "profile", None) or "{}")
    rows = profile.get("num_rows")
    return TrainedOn(str(getattr(given, "name", "")), str(getattr(given, "digest", "")), "" if rows is None else f"{rows:,}")
