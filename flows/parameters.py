"""Types of the flows' parameters, from which Prefect makes its forms and schemas: a wrong value is refused before a worker gets the run."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveInt
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PIPELINES = {"dvc.yaml": "", "study/dvc.yaml": "study/dvc.yaml:"}  # each with the beginning of its stages' names


def stage_names(root: Path) -> Iterator[str]:
    """Every stage of the checkout's pipelines as DVC addresses it; an arm of a matrix is `NAME@VALUE`."""
    for file, above in PIPELINES.items():
        stages = _read(root / file).get("stages")
        for name, stage in (stages if isinstance(stages, dict) else {}).items():
            arms = _arms(stage, root) if "matrix" in stage else [""]
            yield from (f"{above}{name}{arm}" for arm in arms)


def _arms(stage: dict[str, dict[str, object]], root: Path) -> list[str]:
    """The arms of a matrix over one list: the list itself, or `${KEY.OF.PARAMS}`."""
    (values,) = stage["matrix"].values()
    if isinstance(values, str):
        found: object = _read(root / "params.yaml")
        for key in values.strip("${}").split("."):
            found = found[key] if isinstance(found, dict) else ()
        values = found
    return [f"@{value}" for value in values] if isinstance(values, list) else []


def _read(path: Path) -> dict[str, object]:
    found = YAML(typ="safe").load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


if TYPE_CHECKING:
    StageName = str
else:
    StageName = Literal[tuple(stage_names(Path())) or tuple(stage_names(ROOT))]  # the working directory's: a worker's checkout

Number = Annotated[PositiveInt, Field(description="the version's number, such as 3")]
CommitHash = Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")]
