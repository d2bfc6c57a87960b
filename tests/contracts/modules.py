"""The project modules that a module imports, found by parsing its source, not by importing it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

GROUND = (  # of every stage; held still by its own tests
    "tasks/schema/",
    "tasks/store.py",
    "tasks/stage.py",
    "tasks/stage_times.py",
    "tasks/progress.py",
    "tasks/processes.py",
    "tasks/databases.py",
)


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, `from a import b` as both `a` and `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def closure(stage: str) -> list[str]:
    """Every file under tasks/ that tasks/<stage>.py imports, itself included, GROUND and empty `__init__.py` left out."""
    found: set[Path] = set()
    waiting = [ROOT / "tasks" / f"{stage.replace('.', '/')}.py"]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [file for name in imported(path) if name.split(".")[0] == "tasks" for file in _files(name)]
    names = sorted(path.relative_to(ROOT).as_posix() for path in found if meaning(path))
    return [name for name in names if not name.startswith(GROUND) and name != "tasks/__init__.py"]


def _files(name: str) -> list[Path]:
    path = ROOT.joinpath(*name.split("."))
    return [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]


def meaning(path: Path) -> str:
    """A file's code without comments, layout and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])
    return ast.unparse(tree)
