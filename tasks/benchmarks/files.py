"""Reads constants from the published files of a benchmark. Python files are parsed and never run."""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.schema.errors import BadInput

FIX = "fetch the benchmark's files again"


def constant(path: Path, name: str) -> object:
    """The value of the constant `name` in a Python file: a literal, or a string with `.strip()`. Raises BadInput if it has none."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise BadInput(path, f"not a Python file: {error}", fix=FIX) from None
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == name for target in node.targets):
            return _value(path, name, node.value)
    raise BadInput(path, "no such constant", field=name, fix=FIX)


def text_constant(path: Path, name: str) -> str:
    """The same for a text."""
    value = constant(path, name)
    if not isinstance(value, str):
        raise BadInput(path, "not a text", field=name, fix=FIX)
    return value


def numbers_by_name(path: Path, name: str) -> Mapping[str, Sequence[float]]:
    """The same for a dict of lists of numbers."""
    value = constant(path, name)
    if not isinstance(value, dict) or not all(
        isinstance(row, list) and all(isinstance(one, int | float) for one in row) for row in value.values()
    ):
        raise BadInput(path, "not a dict of lists of numbers", field=name, fix=FIX)
    return {str(key): [float(one) for one in row] for key, row in value.items()}


def _value(path: Path, name: str, node: ast.expr) -> object:
    stripped = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "strip" and not node.args
    try:
        value = ast.literal_eval(node.func.value if stripped else node)  # type: ignore[attr-defined]
    except ValueError:
        raise BadInput(path, "not a literal", field=name, fix=FIX) from None
    return value.strip() if stripped and isinstance(value, str) else value


def filled(template: str, values: Mapping[str, str]) -> str:
    """A published template with its {names} replaced in one pass, as str.format does; a brace in a value stays as it is."""
    return template.format(**values)
