"""The scheduled search for new model versions: a real registry, the real evaluator, a valid and a broken checkpoint."""

import shutil
from pathlib import Path

import pytest

from flows.stages import StageFailed
from flows.unevaluated import unevaluated
from tasks.tracking import registry
from tests.conftest import ROOT
from tests.tasks.promotions import candidate, run

pytestmark = [pytest.mark.usefixtures("api"), pytest.mark.timeout(600)]


@pytest.fixture
def workspace(toy: Path) -> Path:
    for name in ("data/raw/benchmark.jsonl", "tasks/prompts/judge.txt"):
        (toy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, toy / name)
    return toy


@pytest.mark.integration
@pytest.mark.usefixtures("workspace")
def test_an_empty_registry_is_nothing_new() -> None:
    assert unevaluated() == "nothing new"


@pytest.mark.slow
def test_a_version_that_cannot_be_evaluated_is_tried_twice_and_then_left_alone(workspace: Path) -> None:
    run(candidate(workspace / "made", weights=b"1", s_bar=60.0))
    for tries in (1, 2):
        with pytest.raises(StageFailed, match=r"^version 1: tasks.longbench evaluate: "):
            unevaluated()
        assert registry.version("1").tags["evaluation_tries"].endswith(f" {tries}")
    assert registry.version("1").tags["evaluation_failed"].startswith("tasks.longbench evaluate: ")
    assert unevaluated().startswith("version 1 is given up after 2 tries: tasks.longbench evaluate: ")
