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
    """One `raise`. A value that is only known at run time is `{…}`, a fix that is no literal is its expression."""

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
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known and node.args:
                yield _message(path, node, node.func.id, takes_fix(node.func.id, known))


def _message(path: Path, call: ast.Call, error: str, has_fix: bool) -> Message:
    problem = call.args[min(int(has_fix), len(call.args) - 1)]
    fix = next((keyword.value for keyword in call.keywords if keyword.arg == "fix"), None)
    return Message(path.relative_to(ROOT).as_posix(), error, _text(problem), _text(fix) if fix else "")


def _text(node: ast.expr) -> str:
    """A literal as it is printed; anything else as its code in braces."""
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"\s+", " ", text)
        case ast.JoinedStr(values=values):
            return "".join(_text(part) if isinstance(part, ast.Constant) else "{…}" for part in values)
        case ast.BinOp(left=left, right=right):
            return _text(left) + _text(right)
        case ast.IfExp(body=body, orelse=orelse):
            return f"{_text(body)} | {_text(orelse)}"
    return f"{{{ast.unparse(node)}}}"


def table() -> str:
    return "".join("\t".join(message) + "\n" for message in messages())


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
    print(f"{TABLE.relative_to(ROOT)} is written", file=sys.stderr)
