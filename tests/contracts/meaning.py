"""What a stage's outputs depend on in the code: the functions and classes that its `run` reaches, without their circumstance.

The closure ends at circumstance: where and how a stage runs, what it records, and what only refuses to run. Each definition counts in its
normal form (normal_form.py): local variables and parameters are numbered, a constant is its value, and any other name of the project is the
number of its definition in the order in which `run` reaches it. So a rename, a move, a constant given a name, a new message, a docstring or
an annotation asks nothing.
Prompt files are not part of it: they are dependencies of the stages in dvc.yaml.
"""

import ast
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from tests.contracts.normal_form import Normal, Place

CIRCUMSTANCE = (  # where and how it runs, what is recorded of it, and what only refuses to run
    "tasks.tracking",
    "tasks.storage",
    "tasks.cluster",
    "tasks.progress",
    "tasks.endpoints",
    "tasks.checkpoints",
    "tasks.training.checkpoint",
    "tasks.training.launch",
    "tasks.training.preflight",
    "tasks.training.watch",
    "tasks.harness.endpoint",
    "tasks.models.gguf",  # where weights are: which they are is base.model and its revision
    "tasks.models.local",
    "tasks.models.packages",
    "tasks.models.to_gguf",
    "tasks.prompts.located",
)
PROCESSES = {  # modules that a stage runs as processes of their own
    "train": "tasks.training.trainer",
    "align": "tasks.training.trainer",
    "reinforce": "tasks.training.trainer",
    "evaluate_general": "tasks.harness.child",
}
GROUND = ("tasks.schema", "tasks.store", "tasks.stage", "tasks.processes", "tasks.databases")  # of every stage; has tests of its own

REQUEST = (  # what a request to a model says, and under which key its reply is kept
    Place("tasks.endpoints.replay", "key_of"),
    Place("tasks.endpoints.wire", "body"),
    Place("tasks.endpoints.dialect", "write"),
)

_REFERENCE = re.compile(r"__at__([\w.]+?)__in__(\w*?)__end__")


class Module(NamedTuple):
    """A module's definitions by name (the empty name: what runs when the module is a process), and what its imported names mean."""

    defined: Mapping[str, list[ast.stmt]]
    imported: Mapping[str, str]  # name in the module: dotted name, of a module or of something in a module


class Code:
    """The code of tasks/, by the paths of its files."""

    def __init__(self, sources: Mapping[str, str]):
        self._paths = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in sources}
        self._sources = {module: sources[path] for module, path in self._paths.items()}
        self._normals = dict[Place, str]()

    def digest(self, stage: str) -> str:
        """SHA-256 of all that `run` of a stage reaches, whatever the names and files are."""
        return hashlib.sha256("\n".join(self.reached(stage).values()).encode()).hexdigest()

    def reached(self, stage: str) -> dict[Place, str]:
        """The normal form of each definition that a stage reaches, in the order of their numbers."""
        numbers = {Place(f"tasks.{stage}", "run"): 0}
        if stage in PROCESSES:
            numbers[Place(PROCESSES[stage], "")] = 1
        asks = False

        def named(place: Place) -> str:
            nonlocal asks
            asks = asks or place.module.startswith("tasks.endpoints")
            if f"{place.module}.{place.name}".startswith(CIRCUMSTANCE) and place not in REQUEST:
                return "circumstance"
            if constant := self._constant(place):
                return constant
            if place.module.startswith(GROUND):
                return f"{place.module}.{place.name}"
            return f"definition_{numbers.setdefault(place, len(numbers))}"

        waiting, found = list(numbers), dict[Place, str]()
        while waiting:
            place = waiting.pop(0)
            text = _REFERENCE.sub(lambda match: named(Place(match[1], match[2])), self._normal(place))
            found[place] = text
            if asks and REQUEST[0] not in numbers:
                for one in REQUEST:
                    named(one)
            waiting += list(numbers)[len(found) + len(waiting) :]
        return {place: text for place, text in found.items() if text}

    def _normal(self, place: Place) -> str:
        """The normal form of a definition, with its references as text."""
        if place not in self._normals:
            written = [
                Normal(self, place.module, "__at__{0.module}__in__{0.name}__end__".format).of(node) for node in self.definitions(place)
            ]
            self._normals[place] = "\n".join(map(ast.unparse, written))
        return self._normals[place]

    def _constant(self, place: Place) -> str:
        """The value of a constant, if it is a number, a text or bytes; empty for anything else, and for the name of a module."""
        match self.definitions(place):
            case [ast.Assign(value=ast.Constant(value)) | ast.AnnAssign(value=ast.Constant(value))] if value not in self._sources:
                return repr(value)
        return ""

    def definitions(self, place: Place) -> list[ast.stmt]:
        return self._module(place.module).defined.get(place.name, [])

    def resolved(self, module: str, name: str, attribute: str = "") -> Place | str:
        """What a name in a module means (or an attribute of it): a place in the project, or the dotted name of something else."""
        here = self._module(module)
        if name in here.defined:
            return Place(module, name)
        dotted = here.imported.get(name, name)
        if dotted in self._sources:
            return self._followed(dotted, attribute) if attribute else dotted
        home, _, last = dotted.rpartition(".")
        return self._followed(home, last) if home in self._sources else dotted

    def path(self, place: Place) -> str:
        """The file of a place."""
        return self._paths[place.module]

    def revised(self, path: str, source: str) -> "Code":
        """The code with another text of one module, whose imports and signatures are the same."""
        other = Code({path: self._sources[module] for module, path in self._paths.items()} | {path: source})
        other._normals = {place: text for place, text in self._normals.items() if self._paths.get(place.module) != path}
        return other

    def is_module(self, dotted: str) -> bool:
        return dotted in self._sources

    def _followed(self, module: str, name: str) -> Place | str:
        """The place of a name of a module, where the name is defined."""
        here = self._module(module)
        if name in here.defined or name not in here.imported:
            return Place(module, name)
        return self.resolved(module, name)

    def _module(self, name: str) -> Module:
        return read(self._sources.get(name, ""))


@cache
def read(source: str) -> Module:
    """A module's definitions and imports, those within functions included."""
    tree = ast.parse(source)
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imported |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                imported[alias.asname or top] = alias.name if alias.asname else top
    defined: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in targets(statement):
            defined.setdefault(name, []).append(statement)
    defined.setdefault("", [node for nodes in list(defined.values()) for node in nodes])
    return Module(defined, imported)


def targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)]
    if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
        return [""]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []
