"""What a stage's outputs depend on in the code: the functions and classes that its `run` reaches, without their circumstance.

The closure ends at circumstance: tracking, storage, the cluster, progress bars, and the endpoints beyond a request's key and body. Left out
of what it holds are comments, docstrings, annotations, messages of errors, and what is printed. The file that a function is in and the
order of functions do not matter, so a move or a split asks nothing.
"""

import ast
import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

CIRCUMSTANCE = (  # where and how it runs, and what only refuses to run
    "tasks.tracking",
    "tasks.storage",
    "tasks.cluster",
    "tasks.progress",
    "tasks.endpoints",
    "tasks.checkpoints",
    "tasks.training.launch",
    "tasks.training.preflight",
    "tasks.harness.endpoint",
)
PROCESSES = {  # modules that a stage runs as processes of their own
    "train": "tasks.training.trainer",
    "align": "tasks.training.trainer",
    "evaluate_general": "tasks.harness.child",
}
GROUND = ("tasks.schema", "tasks.store", "tasks.stage", "tasks.processes", "tasks.databases")  # of every stage; has tests of its own
_ASIDE = re.compile(r"(?:print|say|check|refuse|require)(?:_|$)")  # functions that only tell people something, or refuse

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


class Place(NamedTuple):
    """A name of a module; an empty one is the whole module."""

    module: str
    name: str


REQUEST = (  # what a request to a model asks, and under which key its reply is kept
    Place("tasks.endpoints.replay", "key_of"),
    Place("tasks.endpoints.wire", "body"),
    Place("tasks.endpoints.dialect", "write"),
)


class Part(NamedTuple):
    """A definition as it counts, and what it may name: names, attributes of names, texts."""

    text: str
    names: frozenset[str]
    attributes: frozenset[tuple[str, str]]


class Module(NamedTuple):
    """The definitions of a module by their names, and what it imports from the project: a module's name and a name within it."""

    defined: Mapping[str, list[Part]]
    imported: Mapping[str, tuple[str, str]]


class Code:
    """The code of tasks/, by the paths of its files."""

    def __init__(self, sources: Mapping[str, str]):
        self._sources = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): text for path, text in sources.items()}

    def digest(self, stage: str) -> str:
        """Of all that `run` of a stage reaches, whatever its order and files."""
        return hashlib.sha256("\n".join(sorted(self.reached(stage).values())).encode()).hexdigest()

    def reached(self, stage: str) -> dict[Place, str]:
        """Each definition that a stage reaches, as it counts."""
        waiting, found = [Place(f"tasks.{stage}", "run")], dict[Place, str]()
        if stage in PROCESSES:
            waiting.append(Place(PROCESSES[stage], ""))
        while waiting:
            place = waiting.pop()
            if place in found or place.module.startswith(GROUND):
                continue
            if place.module.startswith("tasks.endpoints") and place not in REQUEST:
                waiting += [one for one in REQUEST if one not in found]
            if place.module.startswith(CIRCUMSTANCE) and place not in REQUEST:
                continue
            parts = self._parts(place)
            found[place] = "\n".join(part.text for part in parts)
            waiting += [target for part in parts for target in self._targets(part, place.module)]
        return {place: text for place, text in found.items() if text}

    def _parts(self, place: Place) -> list[Part]:
        defined = read(self._sources.get(place.module, "")).defined
        return defined.get(place.name, []) if place.name else [part for parts in defined.values() for part in parts]

    def _targets(self, part: Part, module: str) -> Iterator[Place]:
        """What of the project a definition names: functions, classes, constants, and modules that it starts as processes."""
        here = read(self._sources.get(module, ""))
        for name in part.names:
            if name in here.defined:
                yield Place(module, name)
            elif name in here.imported and ".".join(here.imported[name]) not in self._sources:
                yield Place(*here.imported[name])
            elif "." in name and name in self._sources:
                yield Place(name, "")
        for name, attribute in part.attributes:
            if name in here.imported and (whole := ".".join(here.imported[name])) in self._sources:
                yield Place(whole, attribute)


@cache
def read(source: str) -> Module:
    """A module's definitions, and its imports from the project, those within functions included."""
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tasks"
        for alias in node.names
    }
    defined: dict[str, list[Part]] = {}
    for node in tree.body:
        names = _targets(node)
        if names:
            bare = _Bare().visit(node)
            part = Part(ast.unparse(ast.fix_missing_locations(bare)), frozenset(_names(bare)), frozenset(_attributes(bare)))
            for name in names:
                defined.setdefault(name, []).append(part)
    return Module(defined, imported)


def _names(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.startswith("tasks."):
            yield part.value


def _attributes(node: ast.AST) -> Iterator[tuple[str, str]]:
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            yield part.value.id, part.attr


def _targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


class _Bare(ast.NodeTransformer):
    """Without what changes no output."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]:
            if arg is not None:
                arg.annotation = None
        return self._body(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._body(node)

    def _body(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if node.value is None:
            return node
        return ast.Assign(targets=[node.target], value=node.value)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.Raise(exc=error, cause=None)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        call = node.value
        if isinstance(call, ast.Call):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if _ASIDE.match(name):
                return ast.Pass()
        return self.generic_visit(node)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
