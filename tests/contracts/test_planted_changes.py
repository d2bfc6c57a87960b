"""A change of meaning that is planted in the code of a paid stage asks for a new version, of whatever kind it is."""

import ast
from collections.abc import Callable
from functools import cache

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.contracts.meaning import Code, targets
from tests.contracts.normal_form import AS_GIVEN, Place
from tests.contracts.stage_digests import versions

EACH = 2  # definitions of a stage in which a change of a kind is planted
OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
Kind = Callable[[ast.AST], bool]  # changes a node in place; False: it is not of this kind


def threshold(node: ast.AST) -> bool:
    """A number: a threshold, a temperature, a seed, a count."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        node.value += 1
        return True
    return False


def text(node: ast.AST) -> bool:
    """A text: a pattern, a part of a prompt, the name of a hash."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip():
        node.value += "x"
        return True
    return False


def comparison(node: ast.AST) -> bool:
    """Which side of a threshold passes."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OPPOSITES:
        node.ops[0] = OPPOSITES[type(node.ops[0])]()
        return True
    return False


def ordering(node: ast.AST) -> bool:
    """The order in which things are taken."""
    names = {"sorted": "list", "min": "max", "max": "min"}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
        node.func.id = names[node.func.id]
        return True
    return False


def condition(node: ast.AST) -> bool:
    """When something is done."""
    if isinstance(node, ast.If | ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return True
    return False


def call(node: ast.AST) -> bool:
    """What is computed from what: a call without its last argument, as of a digest, a drawing or a filter."""
    if isinstance(node, ast.Call) and len(node.args) > 1:
        node.args.pop()
        return True
    return False


KINDS: tuple[Kind, ...] = (threshold, text, comparison, ordering, condition, call)


@cache
def sources() -> dict[str, str]:
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted((ROOT / "tasks").rglob("*.py"))}


@cache
def code() -> Code:
    return Code(sources())


def sites(statement: ast.stmt) -> list[ast.AST]:
    """The nodes of a definition that decide an output: constants of the module, conditions, what is returned and what is gone through."""
    if isinstance(statement, ast.Assign):
        return list(ast.walk(statement.value))
    roots: list[ast.AST] = []
    for node in ast.walk(statement):
        if isinstance(node, ast.Return) and node.value:
            roots.append(node.value)
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            roots.append(node.test)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            roots.append(node.iter)
    told = {id(part) for node in ast.walk(statement) if isinstance(node, ast.Raise | ast.Assert) for part in ast.walk(node)}
    return [part for root in roots for part in ast.walk(root) if id(part) not in told and not is_transport(part)]


def is_transport(node: ast.AST) -> bool:
    """Whether this only chooses how something is transported, such as the stream of a reply."""
    aside = {name.rpartition(".")[2] for name in AS_GIVEN}
    return isinstance(node, ast.IfExp) and isinstance(node.body, ast.Call) and ast.unparse(node.body.func) in aside


def planted(place: Place, kind: Kind) -> str | None:
    """The module's text with the first change of this kind in a definition; None without a place for it."""
    tree = ast.parse(sources()[code().path(place)])
    for statement in tree.body:
        if place.name in targets(statement) and any(kind(node) for node in sites(statement)):
            return ast.unparse(ast.fix_missing_locations(tree))
    return None


@pytest.mark.integration
@pytest.mark.parametrize("stage", sorted(versions()))
def test_a_planted_change_of_meaning_asks(stage: str) -> None:
    before, places = code().digest(stage), [place for place in code().reached(stage) if place.name]
    missed, kinds = [], set()
    for kind in KINDS:
        done = 0
        for place in places[:: max(1, len(places) // 40)]:
            if done < EACH and (changed := planted(place, kind)):
                done += 1
                kinds.add(kind)
                if code().revised(code().path(place), changed).digest(stage) == before:
                    missed.append(f"{kind.__name__}: {place.module}.{place.name}")
    assert not missed
    assert {threshold, text, comparison} <= kinds


# The three training stages share one training process. Only the trainer of the stage reinforce asks a judge to compare.
ONLY_REINFORCE = {"train": {"compare"}, "align": {"compare"}}


@pytest.mark.parametrize("stage", sorted(versions()))
def test_a_prompt_file_is_a_dependency_of_the_stages_that_send_it(stage: str) -> None:
    folder = ROOT / "tasks" / "prompts"
    in_params = {"judge", "write", "write_next", "write_next_short", "write_short"}
    names = {path.stem for path in folder.glob("*.txt")} - in_params
    written = "\n".join(code().reached(stage).values())
    sent = {name for name in names if f"('{name}'" in written} - ONLY_REINFORCE.get(stage, set())
    deps = " ".join(map(str, YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["deps"])) + " "
    assert {name for name in sent if f"tasks/prompts/{name}.txt " not in deps and "tasks/prompts " not in deps} == set()
