"""The stages of dvc.yaml for tests."""

from typing import Any

from ruamel.yaml import YAML

from tests.conftest import ROOT

PIPELINES = {"dvc.yaml": "", "study/dvc.yaml": "study/"}  # each with what its stages are called here, and their folders under data/
GRAPH: dict[str, dict[str, Any]] = {
    f"{above}{name}": stage
    for file, above in PIPELINES.items()
    for name, stage in YAML(typ="safe").load((ROOT / file).read_text(encoding="utf-8"))["stages"].items()
}
STAGES = list(GRAPH)


def module(stage: str) -> str:
    """Below tasks: `collect`, `study.cap`; the study's training is the pipeline's."""
    own, _, name = stage.rpartition("/")
    return f"{own}.{name}" if own and (ROOT / "tasks" / own / f"{name}.py").is_file() else name
