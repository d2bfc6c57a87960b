"""Every error message of the project as a table: class, file, problem and fix, found by reading the code, not by running it.

`python -m tests.contracts.messages` writes the table again. Review its diff as a user would read the messages.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT

TABLE = ROOT / "tests" / "contracts" / "messages.tsv"
ERRORS = ROOT / "tasks" / "schema" / "errors.py"


class Message(NamedTuple):
    """One `raise`. A value that is only known at run time is `{…}`. A variable is replaced by the texts that are assigned to it."""

    file: str
    error: str
    problem: str
    fix: str


def classes() -> dict[str, str]:
    """The pipeline's errors, each with the class that it is derived from."""
    tree = ast.parse(ERRORS.read_text(encoding="utf-8"))
    return {node.name: ast.unparse(node.bases[0]) for node in tree.body if isinstance(node, ast.ClassDef)}


def takes_fix(error: str, known: dict[str, str]) -> bool:
    return error == "BadInput" or (error in known and takes_fix(known[error], known))


def messages() -> Iterator[Message]:
    """Every message, by file and in the file's order."""
    known = classes()
    for path in sorted(path for folder in ("flows", "infra", "tasks") for path in (ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = _texts_of_names(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known and node.args:
                yield _message(path, node, node.func.id, takes_fix(node.func.id, known), texts.get(node, {}))


Texts = dict[str, list[ast.expr]]


def _texts_of_names(tree: ast.Module) -> dict[ast.Call, Texts]:
    """The values that each call's variables can have: the last one in the same block, and those of nested blocks in between."""
    found: dict[ast.Call, Texts] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            known = Texts()
            for statement in function.body:
                _read(statement, known, found)
    return found


def _read(node: ast.AST, known: Texts, found: dict[ast.Call, Texts]) -> None:
    """Reads a statement or expression. `known`: the values before it; its own assignments are added."""
    if isinstance(node, ast.Call):
        found[node] = dict(known)
    for field, value in ast.iter_fields(node):
        block = dict(known) if field in ("body", "orelse", "handlers", "finalbody") else known
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                _read(child, block, found)
        for name, values in block.items():
            known[name] = [*known.get(name, []), *(one for one in values if one not in known.get(name, []))]
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        known[node.targets[0].id] = [node.value]


def _message(path: Path, call: ast.Call, error: str, has_fix: bool, texts: Texts) -> Message:
    problem = call.args[min(int(has_fix), len(call.args) - 1)]
    fix = next((keyword.value for keyword in call.keywords if keyword.arg == "fix"), None)
    return Message(path.relative_to(ROOT).as_posix(), error, _text(problem, texts), _text(fix, texts) if fix else "")


def _text(node: ast.expr, texts: Texts) -> str:
    """A literal as it is printed; a variable as its texts; anything else as its code in braces."""
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"\s+", " ", text)
        case ast.JoinedStr(values=values):
            return "".join(_part(part, texts) for part in values)
        case ast.BinOp(left=left, right=right):
            return _text(left, texts) + _text(right, texts)
        case ast.IfExp(body=body, orelse=orelse):
            return f"{_text(body, texts)} | {_text(orelse, texts)}"
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name() as name]):
            return _text(name, texts)
        case ast.Name(id=name) if values := [value for value in texts.get(name, []) if _is_text(value)]:
            others = {key: kept for key, kept in texts.items() if key != name}
            return " | ".join(dict.fromkeys(_text(value, others) for value in values))
    return f"{{{ast.unparse(node)}}}"


def _part(part: ast.expr, texts: Texts) -> str:
    """A part of an f-string: its text, or `{…}` for a value."""
    value = part.value if isinstance(part, ast.FormattedValue) else part
    known = _is_text(value) or (isinstance(value, ast.Name) and any(map(_is_text, texts.get(value.id, []))))
    return _text(value, texts) if known else "{…}"


def _is_text(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str(text)):
            return bool(text)
        case ast.IfExp(body=body, orelse=orelse):
            return _is_text(body) or _is_text(orelse)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_text(left) and _is_text(right)
    return isinstance(node, ast.JoinedStr)


def table() -> str:
    return "".join("\t".join(message) + "\n" for message in messages())


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
    print(f"{TABLE.relative_to(ROOT)} is written", file=sys.stderr)
