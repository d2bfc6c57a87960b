"""One name for one thing: the project's vocabulary, checked in its code."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import pytest

from tests.conftest import ROOT

# Words that the project had for something that the field has a word for.
RETIRED = {
    "wish": "length request",
    "till": "budget",
    "purse": "budget",
    "glance": "draft progress",
    "desk": "parallel_map",
    "scaffolding": "plan_markup",
    "garbage": "non_prose",
    "newcomers": "unevaluated",
    "rival": "champion",
    "succession": "alias_moves",
    "reigns": "is_champion",
    "barred": "blocked",
    "twin": "fast_tokenizer",
    "mend": "fix",
    "sifting": "filtering",
    "admit": "validate_instructions",
    "prefer": "build_pairs",
}
# Whole names that the field has another name for; their words may stand in other names.
RETIRED_NAMES = {
    "Ask": "RawPrompt",
    "Fit": "Instruction",
    "PaidOnce": "CachedChat",
    "Slots": "ConcurrencyLimiter",
    "Pace": "AdaptiveTimeout",
    "Quota": "TokenBucket",
    "Manner": "Request",
    "Todo": "DraftProgress",
    "Told": "job_config",
    "Fall": "Rollback",
    "asks": "prompts",
    "faults": "paragraph_checks",
    "scaffold": "plan_markup",
}
WANTED = (
    "RawPrompt",
    "Instruction",
    "CachedChat",
    "parse_length_request",
    "BudgetedCache",
    "ConcurrencyLimiter",
    "AdaptiveTimeout",
    "RateLimiter",
    "TokenBucket",
    "DraftProgress",
)


@cache
def trees() -> dict[str, ast.Module]:
    paths = (path for package in ("tasks", "flows", "infra") for path in sorted((ROOT / package).rglob("*.py")))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def words(name: str) -> Iterator[str]:
    yield from (word.lower() for word in re.findall(r"[a-z]+|[A-Z][a-z]*", name))


def names() -> Iterator[tuple[str, str, int]]:
    """Names that are given in the code, with file and line."""
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name, path, node.lineno
            elif isinstance(node, ast.arg):
                yield node.arg, path, node.lineno
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id, path, node.lineno


def test_a_class_has_a_name_of_its_own() -> None:
    places = defaultdict(list)
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{path}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_name_has_a_retired_word() -> None:
    found = [f"{path}:{line}: {name}: write {RETIRED[word]}" for name, path, line in names() for word in words(name) if word in RETIRED]
    found += [f"{path}: write {RETIRED[word]}" for path in trees() for word in re.findall(r"[a-z]+", path) if word in RETIRED]
    assert found == []


def test_no_function_or_class_has_a_retired_name() -> None:
    found = [
        f"{path}:{node.lineno}: {node.name}: write {RETIRED_NAMES[node.name]}"
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name in RETIRED_NAMES
    ]
    assert found == []


@pytest.mark.parametrize("name", WANTED)
def test_a_thing_of_the_vocabulary_has_its_name(name: str) -> None:
    assert any(given == name for given, _, _ in names())


def test_no_test_module_imports_another() -> None:
    """What several tests use is a fixture, or in a module of its own."""
    found = [
        f"{path.relative_to(ROOT)}: {node.module}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2].startswith("test_")
    ]
    assert found == []
