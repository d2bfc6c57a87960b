"""Rules for dvc.yaml: command, dependencies, outputs, params and what the stage gives its `run` agree, and paid results are kept."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from dvc.ignore import DvcIgnore
from dvc.repo import Repo
from ruamel.yaml import YAML

from flows.graph import needed
from tasks.schema.params import load
from tasks.schema.settings import Settings
from tests.conftest import ROOT
from tests.contracts.graph import GRAPH, PIPELINES, STAGES, module
from tests.contracts.modules import closure, imported
from tests.contracts.stage_digests import current, recorded, versions

PARAMS: dict[str, Any] = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
PAID = list(versions())
ARMS = {"study/train": "train", "study/measure": "predict"}  # whose meaning is that of the section whose version they declare
PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


@pytest.fixture(autouse=True)
def with_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC sees both pipelines here."""
    monkeypatch.setattr(DvcIgnore, "DVCIGNORE_FILE", ".dvcignore.study")


def filled(text: str) -> str:
    """`${collect.source}` as params.yaml has it; an arm of a matrix is itself."""
    for place in re.findall(r"\$\{([\w.]+)\}", text):
        value: Any = PARAMS
        for name in place.split("."):
            value = "ARM" if place == "item.cap" else value[name]
        text = text.replace("${" + place + "}", str(value))
    return text


def listed(stage: str, *kinds: str) -> list[str]:
    return [filled(entry if isinstance(entry, str) else next(iter(entry))) for kind in kinds for entry in GRAPH[stage].get(kind, [])]


def arguments(stage: str) -> list[str]:
    return filled(GRAPH[stage]["cmd"]).split()[4:]


def folder(stage: str) -> str:
    return f"data/{stage}/ARM" if "matrix" in GRAPH[stage] else f"data/{stage}"


class Started(NamedTuple):
    """How a stage is started: its `stage.main(...)` and its `run`, read without importing it."""

    names: list[str]  # of the arguments
    sections: dict[str, str]  # keyword-only parameters of `run`, and the key in params.yaml that each is given
    positional: list[str]  # parameters of `run`
    keyword_only: list[str]


def started(stage: str) -> Started:
    tree = ast.parse((ROOT / "tasks" / f"{module(stage).replace('.', '/')}.py").read_text(encoding="utf-8"))
    run = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run")
    main = next(node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "stage.main")
    [names, bound] = main.args
    keywords = [keyword for node in ast.walk(bound) if isinstance(node, ast.Call) for keyword in node.keywords]
    return Started(
        ast.literal_eval(names).lower().split(),
        {str(keyword.arg): ast.unparse(keyword.value).removeprefix("params.") for keyword in keywords},
        [arg.arg for arg in run.args.posonlyargs + run.args.args],
        [arg.arg for arg in run.args.kwonlyargs],
    )


def holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def keys(tree: Any, above: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield f"{above}{name}"
            yield from keys(value, f"{above}{name}.")


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_is_the_module_with_one_path_for_each_positional_parameter(stage: str) -> None:
    """`exec`, as a shell that waits for the stage would outlive a killed run, and the stage with it: dash does, bash does not."""
    assert GRAPH[stage]["cmd"].split()[:4] == ["exec", "python", "-m", f"tasks.{module(stage)}"]
    assert started(stage).names == started(stage).positional
    assert len(arguments(stage)) == len(started(stage).names)
    assert arguments(stage)[-1] == folder(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_the_declared_params_are_the_keyword_only_parameters(stage: str) -> None:
    given = started(stage)
    assert sorted(GRAPH[stage].get("params", [])) == sorted(given.sections.values())
    assert sorted(given.sections) == sorted(given.keyword_only)
    for name, key in given.sections.items():
        assert key == (f"models.{name.removesuffix('_model')}" if name.endswith("_model") else name.rstrip("_"))


@pytest.mark.parametrize("stage", STAGES)
def test_every_path_of_the_command_is_declared_and_every_declared_path_is_in_the_command(stage: str) -> None:
    deps, outs = listed(stage, "deps"), listed(stage, "outs", "metrics", "plots")
    for path in arguments(stage):
        if path == "ARM" or path.isdecimal():
            continue
        assert any(holds(path, declared) for declared in deps + outs), path
    assert f"{folder(stage)}/metrics.json" in outs or not any(holds(folder(stage), metric) for metric in listed(stage, "metrics"))
    for path in outs:
        assert any(holds(argument, path) for argument in arguments(stage)), path
    for path in deps:
        assert path == "params.yaml" or path.startswith("tasks/") or any(holds(argument, path) for argument in arguments(stage)), path


@pytest.mark.parametrize("stage", [*PAID, *ARMS])
def test_a_stage_that_is_paid_for_has_a_version_and_no_code_among_its_dependencies(stage: str) -> None:
    assert stage in STAGES
    assert ARMS.get(stage, stage) in GRAPH[stage]["params"]
    assert [path for path in listed(stage, "deps") if path.startswith("tasks/") and not path.startswith("tasks/prompts/")] == []


@pytest.mark.parametrize("stage", [*PAID, *ARMS])
def test_a_stage_that_is_paid_for_keeps_all_its_outputs_in_the_cache(stage: str) -> None:
    options = [entry for kind in ("outs", "metrics", "plots") for entry in GRAPH[stage].get(kind, []) if not isinstance(entry, str)]
    for entry in options:
        for values in entry.values():
            assert values.get("cache", True), entry
            assert not values.get("persist", False), entry


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in (*PAID, *ARMS)])
def test_a_cheap_stage_depends_on_all_the_code_that_it_imports(stage: str) -> None:
    deps = listed(stage, "deps")
    assert [path for path in closure(module(stage)) if not any(holds(dep, path) for dep in deps)] == []


def test_the_stages_that_call_models_or_train_carry_a_version() -> None:
    calling = [stage for stage in STAGES if stage not in ARMS and any("_model" in name for name in started(stage).keyword_only)]
    assert sorted(PAID) == sorted({*calling, "train", "align"})


@pytest.mark.parametrize("stage", PAID)
def test_code_of_a_paid_stage_changes_with_a_new_version_or_an_explicit_record(stage: str) -> None:
    assert current()[stage] == recorded().get(stage), (
        f"{stage}'s code or version changed: raise {stage}.version in params.yaml and every profile if what it makes means "
        "something else now; then, or if it does not, `python -m tests.contracts.stage_digests`"
    )


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_every_profile_loads_and_has_the_versions_of_params_yaml(profile: Path) -> None:
    load(profile)
    tree = YAML(typ="safe").load(profile.read_text(encoding="utf-8"))
    assert {stage: tree[stage]["version"] for stage in PAID} == versions()


def test_every_param_belongs_to_a_stage() -> None:
    used = {name.split(".")[0] for stage in STAGES for name in GRAPH[stage].get("params", [])}
    text = "".join((ROOT / file).read_text(encoding="utf-8") for file in PIPELINES)
    assert [name for name in PARAMS if name not in used and "${" + name + "}" not in text] == []
    declared = {name for stage in STAGES for name in GRAPH[stage].get("params", [])}
    assert {f"models.{role}" for role in PARAMS["models"]} <= declared


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_no_param_is_called_what_the_run_cache_does_not_see(profile: Path) -> None:
    """DVC leaves `size` and `nfiles` out of a run's key wherever they stand: a change of such a param restores the old outputs."""
    tree = YAML(typ="safe").load(profile.read_text(encoding="utf-8"))
    assert [key for key in keys(tree) if key.split(".")[-1] in ("size", "nfiles")] == []


def test_circumstance_is_neither_a_param_nor_a_dependency() -> None:
    assert {key.split(".")[-1] for key in keys(PARAMS)}.isdisjoint(Settings.model_fields)
    assert not any("LONGWRITER_" in (ROOT / file).read_text(encoding="utf-8") for file in PIPELINES)
    assert [path for stage in STAGES for path in listed(stage, "deps") if path.startswith((".", "/")) or path == ".env"] == []


def changed_by(param: str) -> set[str]:
    """The stages that a change of one param reaches: those that declare it, and all that need them."""
    with Repo(str(ROOT)) as repo:
        graph = repo.index.graph
        reached = {stage for stage in graph if any(f"{param}.".startswith(f"{name}.") for name in GRAPH[base(stage)].get("params", []))}
        while more := {user for user in graph for need in graph.successors(user) if need in reached} - reached:
            reached |= more
        return {base(stage) for stage in reached}


def base(stage: Any) -> str:
    """A stage's name in GRAPH, without its arm of a matrix."""
    return str(stage.addressing).partition("@")[0].replace("dvc.yaml:", "")


def test_the_study_runs_where_it_is_named_and_nothing_else_needs_it() -> None:
    study = {stage for stage in STAGES if stage.startswith("study/")}
    with Repo(str(ROOT)) as repo:
        usual, texts = ({stage.name for stage in needed(repo, target)} for target in (None, "assemble"))
        wanted = [stage.name for stage in needed(repo, "study/dvc.yaml:fit")]
        alone = {base(stage) for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"}  # of a bare `dvc repro`
    assert usual == alone == set(STAGES) - study
    assert {name.partition("@")[0].replace("dvc.yaml:", "") for name in wanted} == study | texts, "the dataset, and no stage behind it"
    trained = [name for name in wanted if name.startswith("study/dvc.yaml:train@")]
    assert trained == [f"study/dvc.yaml:train@{cap}" for cap in PARAMS["study"]["caps"]]


def test_commands_on_the_whole_repository_do_not_see_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their outputs are in no cache of a clone, so `dvc status`, `metrics diff` and `push` could not be clean."""
    monkeypatch.setattr(DvcIgnore, "DVCIGNORE_FILE", ".dvcignore")
    with Repo(str(ROOT)) as repo:
        assert {base(stage) for stage in repo.index.stages if stage.cmd} == {stage for stage in STAGES if not stage.startswith("study/")}
    both = [(ROOT / name).read_text().splitlines() for name in (".dvcignore", ".dvcignore.study")]
    patterns = [[line for line in lines if not line.startswith("#")] for lines in both]
    assert patterns[0] == [*patterns[1], "/study"]


def test_another_judge_reaches_what_stands_behind_it_and_nothing_else() -> None:
    behind = {"build_pairs", "align", "reinforce", "predict", "judge", "score", "evaluate_general", "promote", "serve", "report"}
    assert changed_by("models.judge.revision") == behind, "align and what follows are reached, and run only if the pairs change"


def test_another_teacher_leaves_the_instructions_alone() -> None:
    assert set(STAGES) - changed_by("models.teacher.name") == {"collect", "validate_instructions"}


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


def test_only_flows_imports_prefect_and_only_tracking_imports_mlflow() -> None:
    for path in python_files("tasks", "benchmarks", "flows"):
        roots, place = {name.split(".")[0] for name in imported(path)}, path.relative_to(ROOT).as_posix()
        assert "prefect" not in roots or place.startswith("flows/"), place
        assert "mlflow" not in roots or place.startswith("tasks/tracking/"), place
        assert "flows" not in roots or place.startswith("flows/"), place


def test_the_folder_mlflow_is_no_package() -> None:
    """With an `__init__.py` it would shadow the installed mlflow."""
    assert list((ROOT / "mlflow").rglob("__init__.py")) == []


def test_the_ground_the_command_lines_and_the_stages_import_without_the_heavy_libraries() -> None:
    modules = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in sorted((ROOT / "tasks/schema").glob("*.py"))]
    modules += [
        "tasks.store",
        "tasks.stage",
        "tasks.evaluation.__main__",
        "flows.embedded",
        *(f"tasks.{module(stage)}" for stage in STAGES),
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print([m for m in ('torch', 'prefect', 'mlflow', 'great_expectations', 'transformers', 'trl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", ["params.yaml", "prefect.yaml", "dvc.yaml"])
def test_the_yaml_files_of_the_root_name_no_machine(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not any(place in text for place in ("/home/", "/root/", "/work/", "/Users/"))


def test_every_flow_has_a_deployment_that_runs_once_at_a_time() -> None:
    tree = YAML(typ="safe").load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    flows = {path.stem for path in (ROOT / "flows").glob("*.py") if "@flow" in path.read_text(encoding="utf-8")}
    assert {deployment["name"]: deployment["entrypoint"] for deployment in tree["deployments"]} == {f: f"flows/{f}.py:{f}" for f in flows}
    for deployment in tree["deployments"]:
        assert deployment["concurrency_limit"]["limit"] == 1
        assert deployment["work_pool"]["name"] in ("cpu", "gpu")
        assert all(schedule["slug"] for schedule in deployment.get("schedules", []))
