"""Packages import downwards only: the order in which they build on each other, from the ground floor up."""

from collections import defaultdict

from tests.conftest import ROOT
from tests.contracts.graph import STAGES, module
from tests.contracts.modules import imported

GROUND = (
    "schema",
    "prompts",
    "portable",
    "plugins",
    "processes",
    "store",
    "stage_times",
    "stage",
    "progress",
    "checkpoints",
    "databases",
    "statistics",
    "history",
    "plots",
)
LIBRARIES = (
    "text",
    "models",
    "rehearsal",
    "endpoints",
    "sources",
    "corpus",
    "cluster",
    "longbench",
    "judging",
    "benchmarks",
    "rewards",
    "tracking",
    "storage",
    "training",
    "contracts",
    "reporting",
    "doctor",
    "agentwrite",
    "filtering",
    "harness",
)
APPLICATIONS = ("evaluation", "release", "study", "interactive", "reader")
ORDER = (*GROUND, *LIBRARIES, *sorted({module(stage) for stage in STAGES if "/" not in stage}), *APPLICATIONS)


def arrows() -> dict[tuple[str, str], list[str]]:
    """The imports between packages of tasks/, and between its single modules, imports within functions included."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tasks").rglob("*.py")):
        place = path.relative_to(ROOT / "tasks").with_suffix("")
        package = place.parts[0]
        for name in {".".join(full.split(".")[:2]) for full in imported(path) if full.startswith("tasks.")}:
            target = name.removeprefix("tasks.")
            if target != package and package != "__init__":
                found[package, target].append(place.as_posix())
    return found


def test_every_package_has_its_place_in_the_order() -> None:
    places = {path.stem for path in (ROOT / "tasks").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert sorted(places - {"__init__"}) == sorted(ORDER)


def test_no_package_imports_one_above_it() -> None:
    upwards = {
        f"{package} -> {target}": files for (package, target), files in arrows().items() if ORDER.index(package) < ORDER.index(target)
    }
    assert upwards == {}, "move what is imported down, or the importer up"
