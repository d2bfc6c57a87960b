"""Pages of reference as Markdown: commands from the typer app, params and settings from their pydantic classes, files from dvc.yaml.

`python -m infra.documentation.reference commands` prints one.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).parents[2]


def commands() -> str:
    """Every command with its arguments, options and example."""
    from flows.cli import TREE, Leaf

    lines = ["# Commands", "", "Generated from the code. `longwriter COMMAND --help` prints the same.", ""]
    for name, entry in TREE.items():
        if isinstance(entry, Leaf):
            lines += _command(name, entry, "##")
            continue
        lines += [f"## longwriter {name}", "", entry.help, ""]
        for inner, leaf in entry.commands.items():
            lines += _command(f"{name} {inner}", leaf, "###")
    return "\n".join(lines)


def _command(name: str, leaf: Any, level: str) -> Iterator[str]:
    from flows.cli import load

    command = load(leaf)
    where = " Works in a checkout." if leaf.checkout else ""
    yield from (f"{level} longwriter {name}", "", f"{_prose(command.help or leaf.help)}{where}", "", "```sh")
    yield from (f"# for example\nlongwriter {leaf.example}", "```", "")
    rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
    yield from _table(("argument or option", "default", "meaning"), rows)


def _parameter(parameter: Any) -> tuple[str, str, str]:
    names = [*parameter.opts, *parameter.secondary_opts]
    name = f"`{(parameter.metavar or parameter.name or '').upper()}`"
    if parameter.param_type_name != "argument":
        name = " ".join(f"`{option}`" for option in names)
    default = parameter.default
    shown = "" if default in (None, False, "", ()) or callable(default) else f"`{default}`"
    required = "required" if parameter.required else ""
    return name, shown or required, _prose(getattr(parameter, "help", "") or "")


def settings() -> str:
    """Every environment variable."""
    from tasks.schema.settings import PREFIX, Settings

    rows = []
    for name, field in Settings.model_fields.items():
        rows.append((f"`{PREFIX}{name.upper()}`", _type(field.annotation), _default(field), _prose(field.description or "")))
    return "\n".join(
        [
            "# Settings",
            "",
            "Environment variables, or lines of a git-ignored `.env` file. They say where a run happens and never change a result.",
            "Generated from tasks/schema/settings.py.",
            "",
            *_table(("variable", "type", "default", "meaning"), rows),
        ]
    )


def params() -> str:
    """Every key of params.yaml, section by section."""
    from tasks.schema.params import Params

    lines = [
        "# Keys of params.yaml",
        "",
        "Everything that decides what a result means. No key has a default: the files of profiles/ have values for all of them.",
        "Generated from tasks/schema/params.py.",
        "",
    ]
    plain = [(name, field) for name, field in Params.model_fields.items() if not _models(field.annotation)]
    lines += _table(("key", "type", "meaning"), [_key("", name, field) for name, field in plain])
    for name, field in Params.model_fields.items():
        for section in _models(field.annotation)[:1]:
            lines += [f"## {name}", "", _prose(inspect.getdoc(section) or field.description or ""), ""]
            lines += _table(("key", "type", "meaning"), list(_keys(name, section)))
    return "\n".join(lines)


def _keys(prefix: str, section: type[BaseModel], depth: int = 0) -> Iterator[tuple[str, str, str]]:
    for name, field in section.model_fields.items():
        yield _key(f"{prefix}.", name, field)
        if depth < 3:
            for inner in _models(field.annotation)[:1]:
                listed = "[]" if "list" in str(field.annotation) else ".NAME" if "dict" in str(field.annotation) else ""
                yield from _keys(f"{prefix}.{name}{listed}", inner, depth + 1)


def _key(prefix: str, name: str, field: FieldInfo) -> tuple[str, str, str]:
    meaning = _prose(field.description or "")
    return f"`{prefix}{name}`", " ".join(filter(None, (_type(field.annotation), _range(field)))), meaning


def formats() -> str:
    """The files of each stage, and the records in them."""
    from ruamel.yaml import YAML

    from tasks.schema import contract_results, records

    graph = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    rows = []
    for name, stage in graph["stages"].items():
        outs = [next(iter(out)) if isinstance(out, dict) else out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, ())]
        rows.append((f"`{name}`", stage.get("desc", ""), "<br>".join(f"`{out}`" for out in outs)))
    return "\n".join(
        [
            "# Files and their records",
            "",
            "JSON Lines with one record a line, or one JSON document; unknown fields are refused. From dvc.yaml and tasks/schema/.",
            "",
            "## Files of each stage",
            "",
            *_table(("stage", "what it does", "files"), rows),
            "## Records",
            "",
            *_records(records),
            *_records(contract_results),
        ]
    )


def _records(module: ModuleType) -> Iterator[str]:
    """Every record of a module. A field's meaning is its description, or the comment behind it."""
    comments = _comments(module)
    for name, record in vars(module).items():
        if not (inspect.isclass(record) and issubclass(record, BaseModel) and record.__module__ == module.__name__):
            continue
        if not record.model_fields or "[" in name or name == "ByName":
            continue
        yield from (f"### {name}", "", _prose(inspect.getdoc(record) or ""), "")
        rows = [
            (f"`{field}`", _type(info.annotation), _default(info), _prose(info.description or comments.get((name, field), "")))
            for field, info in record.model_fields.items()
        ]
        yield from _table(("field", "type", "default", "meaning"), rows)


def _comments(module: ModuleType) -> Mapping[tuple[str, str], str]:
    """The comment behind each field: {(class, field): comment}."""
    source = inspect.getsource(module)
    lines = source.splitlines()
    found = {}
    for node in ast.parse(source).body:
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                _, sign, comment = lines[(inner.end_lineno or inner.lineno) - 1].partition("  # ")
                if sign and isinstance(node, ast.ClassDef):
                    found[node.name, inner.target.id] = comment
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic classes in an annotation."""
    if inspect.isclass(annotation) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for part in get_args(annotation) for model in _models(part)]


def _type(annotation: Any) -> str:
    """An annotation in short: int, str or null, one of `a`, `b`."""
    text = annotation.__name__ if inspect.isclass(annotation) and not get_args(annotation) else str(annotation)
    text = re.sub(r"\b(?:[a-z_]+\.)+(?=\w)", "", text)
    text = re.sub(r"Annotated\[(\w+), .*?\)\](?=$|[\],| ])", r"\1", text)
    text = re.sub(r"FieldInfo\([^)]*\)|Optional\[(.*)\]", r"\1", text).replace("NoneType", "null").replace("None", "null")
    text = re.sub(r"Literal\[([^]]*)\]", lambda found: " or ".join(part.strip().strip("'\"") for part in found[1].split(",")), text)
    return text.replace("|", "or").replace("  ", " ")


def _range(field: FieldInfo) -> str:
    """The bounds of a number: ≥ 1, ≤ 2."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    said = [f"{sign} {getattr(one, name):g}" for one in field.metadata for name, sign in signs.items() if hasattr(one, name)]
    return f"({', '.join(said)})" if said else ""


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined or field.is_required():
        return ""
    shown = str(field.default) if not hasattr(field.default, "get_secret_value") else ""
    return f"`{shown}`" if shown and shown != "None" else ""


def _prose(text: str) -> str:
    """A text for a cell or a paragraph: one line, and nothing that Markdown or HTML would read."""
    flat = " ".join(text.split())
    parts = re.split(r"(`[^`]*`)", flat)
    safe = [part if part.startswith("`") else re.sub(r"([<>*_\[\]{}])", r"\\\1", part) for part in parts]
    return "".join(safe).replace("|", "\\|").replace("\\<", "&lt;").replace("\\>", "&gt;")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table without its empty columns; nothing for no rows."""
    if not rows:
        return []
    kept = [place for place in range(len(head)) if any(row[place] for row in rows)]
    lines = [[head[place] for place in kept], ["---"] * len(kept), *([row[place] for place in kept] for row in rows)]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


PAGES: Mapping[str, Callable[[], str]] = {
    "reference/commands.md": commands,
    "reference/params.md": params,
    "reference/settings.md": settings,
    "reference/formats.md": formats,
}

if __name__ == "__main__":
    known = {Path(path).stem: page for path, page in PAGES.items()}
    print(known[sys.argv[1]]() if sys.argv[1:] and sys.argv[1] in known else f"one of {', '.join(known)}")
