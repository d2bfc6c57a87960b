"""Results outside of DVC's sight: a stage with `meta: {outside: registry}` in dvc.yaml has its effect in the model registry.

Its outputs are not cached (`cache: false, persist: true`), so DVC never restores them from a cache, and a clone asks the registry by
running the stage. In a workspace that has them, this module asks first, cheaply. A result that is not true in the registry of the
settings is removed, and DVC then runs the stage: flows and `longwriter repro` agree.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks import store
from tasks.schema.errors import BadInput
from tasks.tracking.gate import Promoted
from tasks.tracking.outside import contradiction

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

META, REGISTRY = "outside", "registry"
RESULT = "promoted.json"  # the output that says what was decided


class Untrue(NamedTuple):
    """A stage with a recorded result that its registry contradicts."""

    stage: str
    why: str
    outputs: tuple[Path, ...]


def untrue(repo: "Repo", names: Collection[str] | None = None) -> list[Untrue]:
    """The stages, of all or of these names, with a result that is not true in the registry. Raises EndpointError if it does not answer."""
    found = []
    for stage in repo.index.stages:
        if (names is None or stage.addressing in names) and (why := _contradiction(stage)):
            outputs = tuple(Path(out.fs_path) for out in stage.outs if not out.use_cache)
            found.append(Untrue(stage.addressing, why, outputs))
    return found


def forget(repo: "Repo", names: Collection[str] | None = None) -> Iterator[str]:
    """Removes untrue results, so that DVC runs their stages; one line for each."""
    for one in untrue(repo, names):
        for output in one.outputs:
            output.unlink(missing_ok=True)
        yield f"{one.stage}: its result is not true in the model registry: {one.why}; the stage runs again"


def is_outside(stage: "Stage") -> bool:
    """Whether the stage has its effect in the model registry."""
    return bool((getattr(stage, "meta", None) or {}).get(META) == REGISTRY)


def _contradiction(stage: "Stage") -> str | None:
    if not is_outside(stage):
        return None
    for path in (Path(out.fs_path) for out in stage.outs):
        if path.name == RESULT and path.is_file():
            try:
                return contradiction(store.read_document(path, Promoted))
            except BadInput as error:
                return f"{error.path}: {error.problem}"
    return None
