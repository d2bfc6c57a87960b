"""How strictly the code is typed: few `Any`, and mypy's strict options where data enters and money is spent."""

import io
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

MOST = 5.0  # `Any` in 1,000 lines
STRICT = ("schema", "store", "text", "endpoints", "agentwrite", "longbench", "judging", "evaluation")
OPTIONS = (
    "check_untyped_defs",
    "disallow_any_generics",
    "disallow_subclassing_any",
    "disallow_untyped_calls",
    "disallow_untyped_decorators",
)


def sources() -> Iterator[Path]:
    for package in ("tasks", "flows", "infra"):
        yield from sorted((ROOT / package).rglob("*.py"))


def anys(text: str) -> int:
    return sum(token.type == tokenize.NAME and token.string == "Any" for token in tokenize.generate_tokens(io.StringIO(text).readline))


def test_any_is_rare() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in sources()}
    found = {path.relative_to(ROOT).as_posix(): anys(text) for path, text in texts.items()}
    lines = sum(text.count("\n") for text in texts.values())
    rate = 1000 * sum(found.values()) / lines
    most = sorted(found, key=lambda name: -found[name])[:5]
    assert rate <= MOST, (
        f"{rate:.1f} `Any` in 1,000 lines, most in {', '.join(f'{name} ({found[name]})' for name in most)}: use `object` or a type"
    )


def test_mypy_is_strict_where_data_enters_and_money_is_spent() -> None:
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    strict = [entry for entry in mypy["overrides"] if all(entry.get(option) is True for option in OPTIONS)]
    modules = {module.removesuffix(".*") for entry in strict for module in entry["module"]}
    assert {f"tasks.{name}" for name in STRICT} <= modules
    assert mypy["disallow_untyped_defs"] is True
