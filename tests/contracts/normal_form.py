"""The normal form of a definition: what it computes, without names of its own and without what changes no output.

Left out are docstrings, annotations, imports, assertions, messages of errors and the variables that only they use, statements that print,
log, warn or only refuse, progress bars, what records a run, `await`, and decorators that cache. A variable that is read once, first of all
in the next statement, is its value. An error of tasks/schema/errors.py ends the stage, so its class does not count, nor does the function
that makes it; another exception may be caught and steer the stage, so its class counts.
"""

import ast
import copy
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, cast

_ASIDE = re.compile(r"(?:print|say|warn|log|check|refuse|require)(?:_|$)")  # functions that only tell people something, or refuse
AS_GIVEN = (  # functions that return what they are given, apart from how it is transported
    "tasks.endpoints.dialect.streamed",
    "tasks.models.local.located",
    "tasks.progress.track",
    "tasks.prompts.located",
)
_SILENT = ("tasks.progress", "tasks.tracking")  # what their context managers do changes no output
_FORMAL = ("typing.Protocol", "typing.TypedDict")  # classes of these bases have no meaning at run time
_CACHES = ("functools.cache", "functools.lru_cache", "functools.cached_property")
_PURE = re.compile(  # calls that only compute
    "abs|capitalize|dict|enumerate|filter|float|format|get|get_close_matches|getattr|hasattr|int|isinstance|items|iter|join|keys|len|list"
    "|lower|map|max|min|next|range|removeprefix|removesuffix|replace|repr|round|set|sorted|split|splitlines|str|strip|sum|title|tuple|type"
    "|upper|values|zip"
)


class Place(NamedTuple):
    """A name of a module; an empty one is what runs when the module is started as a process."""

    module: str
    name: str


class Resolver(Protocol):
    """Knows the project's code (meaning.Code)."""

    def definitions(self, place: Place) -> list[ast.stmt]: ...
    def resolved(self, module: str, name: str, attribute: str = "") -> Place | str: ...
    def is_module(self, dotted: str) -> bool: ...


class Normal(ast.NodeTransformer):
    """Makes the normal form of a module's definitions. `named` gives the name of a place in the normal form."""

    def __init__(self, code: Resolver, module: str, named: Callable[[Place], str]):
        self._code, self._module, self._named = code, module, named
        self._own: dict[str, str] = {}  # local variables and parameters
        self._bars: set[str] = set()  # variables that are progress bars or recorders

    def of(self, node: ast.stmt) -> ast.AST:
        changed = self.visit(copy.deepcopy(node))
        if isinstance(changed, ast.FunctionDef | ast.ClassDef):
            changed.name = "it"
        elif isinstance(changed, ast.Assign):  # of one name
            changed.targets = (
                [ast.Name("it", ast.Store())] if all(isinstance(one, ast.Name) for one in changed.targets) else changed.targets
            )
        return ast.fix_missing_locations(cast(ast.AST, changed))

    # names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self._own:
            return ast.Name(self._own[node.id], node.ctx)
        if isinstance(node.ctx, ast.Load):
            return ast.Name(self._spelled(self._code.resolved(self._module, node.id)), node.ctx)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(found := self._meant(node), Place):
            return ast.Name(self._named(found), node.ctx)
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and node.value.startswith("tasks.") and self._code.is_module(node.value):
            return ast.Name(self._named(Place(node.value, "")), ast.Load())
        return node

    def _spelled(self, found: Place | str) -> str:
        return self._named(found) if isinstance(found, Place) else found

    def _meant(self, node: ast.AST) -> Place | str:
        """What an expression names: a place in the project, a dotted name, or nothing (an empty text)."""
        if isinstance(node, ast.Name):
            return "" if node.id in self._own else self._code.resolved(self._module, node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id not in self._own:
            found = self._code.resolved(self._module, node.value.id)
            if isinstance(found, str) and self._code.is_module(found):
                return self._code.resolved(self._module, node.value.id, node.attr)
            return f"{found}.{node.attr}" if isinstance(found, str) else ""
        return ""

    def _is_of(self, node: ast.AST, module: str) -> bool:
        found = self._meant(node)
        return isinstance(found, Place) and found.module == module

    def _is_below(self, node: ast.AST, package: str) -> bool:
        found = self._meant(node)
        return isinstance(found, Place) and found.module.startswith(package)

    # functions and classes

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        plain = ast.FunctionDef(name=node.name, args=node.args, body=node.body, decorator_list=node.decorator_list)
        return self._function(plain)

    def _function(self, node: ast.FunctionDef) -> ast.AST:
        outer, nested = self._own, bool(self._own)
        self._own = self._own if nested else _numbered(node)
        node.returns, node.type_comment = None, None
        node.decorator_list = [
            one for one in node.decorator_list if self._meant(one.func if isinstance(one, ast.Call) else one) not in _CACHES
        ]
        self.generic_visit(node)
        node.name = self._own.get(node.name, node.name)
        node.body = _body(node.body)
        if not nested:
            _drop_unread(node)
            _drop_unread_options(node)
            _inline(node)
            _renumber(node)
        self._own = outer
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._scoped(node)

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._scoped(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._scoped(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._scoped(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._scoped(node)

    def _scoped(self, node: ast.AST) -> ast.AST:
        """An expression with variables of its own; within a function they are numbered already."""
        outer = self._own
        self._own = self._own or _numbered(node)
        self.generic_visit(node)
        self._own = outer
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(self._own.get(node.arg, node.arg), None)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        bases = [self._meant(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases]
        if any(base in _FORMAL for base in bases):
            node.body, node.bases, node.keywords = [ast.Pass()], [], []
            return node
        if "typing.NamedTuple" in bases:
            for part in node.body:
                if isinstance(part, ast.AnnAssign):
                    part.annotation = ast.Name("object", ast.Load())
        self.generic_visit(node)
        node.name = self._own.get(node.name, node.name)
        node.body = _body(node.body)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if self._own and node.value is None:
            return None
        if node.value is None:  # a field of a class
            node.annotation = ast.parse(re.sub(r"\bAny\b", "object", ast.unparse(node.annotation)), mode="eval").body
            return self.generic_visit(node)
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))

    # calls

    def visit_Call(self, node: ast.Call) -> ast.AST:
        meant = self._meant(node.func)
        if meant == "typing.cast" and len(node.args) == 2:
            return cast(ast.AST, self.visit(node.args[1]))
        if isinstance(meant, Place) and f"{meant.module}.{meant.name}" in AS_GIVEN and node.args:
            return cast(ast.AST, self.visit(node.args[0]))
        if isinstance(node.func, ast.Subscript) and isinstance(node.func.value, ast.Name):  # list[str]()
            node.func = node.func.value
        if isinstance(meant, Place):
            places = {name: f"parameter_{number}" for number, name in enumerate(self._parameters(meant))}
            for keyword in node.keywords:
                keyword.arg = places.get(keyword.arg, keyword.arg) if keyword.arg else None
            while node.keywords and node.keywords[0].arg == f"parameter_{len(node.args)}":  # given by name or by place: no difference
                node.args.append(node.keywords.pop(0).value)
        return self.generic_visit(node)

    def _parameters(self, place: Place) -> list[str]:
        found = next(iter(self._code.definitions(place)), None)
        if not isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef):
            return []
        return [arg.arg for arg in (*found.args.posonlyargs, *found.args.args, *found.args.kwonlyargs)]

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        return node.body if ast.unparse(node.body) == ast.unparse(node.orelse) else node

    # what changes no output

    def visit_Await(self, node: ast.Await) -> ast.AST:
        return cast(ast.AST, self.visit(node.value))

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        return self.generic_visit(ast.For(target=node.target, iter=node.iter, body=node.body, orelse=node.orelse))

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST | list[ast.stmt]:
        return self.visit_With(ast.With(items=node.items, body=node.body))

    def visit_With(self, node: ast.With) -> ast.AST | list[ast.stmt]:
        """Without progress bars and recorders; without any other item, the statements themselves."""
        silent = [item for item in node.items if any(self._is_below(_callee(item.context_expr), package) for package in _SILENT)]
        self._bars |= {item.optional_vars.id for item in silent if isinstance(item.optional_vars, ast.Name)}
        node.items = [item for item in node.items if item not in silent]
        self.generic_visit(node)
        return node if node.items else node.body

    def visit_Import(self, _: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, _: ast.ImportFrom) -> None:
        return None

    def visit_Assert(self, _: ast.Assert) -> None:
        return None

    def visit_Global(self, _: ast.Global) -> None:
        return None

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        if error is None or self._is_of(error, "tasks.schema.errors") or self._makes_an_error(error):
            return ast.Raise(exc=error and ast.Name("error", ast.Load()), cause=None)
        return ast.Raise(exc=self.visit(error), cause=None)

    def _makes_an_error(self, node: ast.expr) -> bool:
        """Whether this is a function that returns an error of tasks/schema/errors.py, by its annotation."""
        if not isinstance(found := self._meant(node), Place):
            return False
        match self._code.definitions(found):
            case [ast.FunctionDef(returns=ast.Name(name))]:
                error = self._code.resolved(found.module, name)
                return isinstance(error, Place) and error.module == "tasks.schema.errors"
        return False

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(call, ast.Constant):
            return None
        if isinstance(call, ast.Call):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            first = next((part.id for part in ast.walk(call.func) if isinstance(part, ast.Name)), "")
            home = self._code.resolved(self._module, first) if first and first not in self._own else ""
            if _ASIDE.match(name) or first in self._bars or str(home).partition(".")[0] in ("logging", "warnings"):
                return None
        return self.generic_visit(node)


def _callee(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _body(statements: list[ast.stmt]) -> list[ast.stmt]:
    return [part for part in statements if not isinstance(part, ast.Pass)] or [ast.Pass()]


def _numbered(scope: ast.AST) -> dict[str, str]:
    """The names that a scope and the scopes within it bind, numbered in their order."""
    outside = {name for node in ast.walk(scope) if isinstance(node, ast.Global) for name in node.names}
    names = dict.fromkeys(name for name in _bound(scope) if name and name not in outside)
    return {name: f"local_{number}" for number, name in enumerate(names)} or {"": ""}


def _renumber(scope: ast.AST) -> None:
    """Number the variables again after some are gone."""
    numbers: dict[str, str] = {}
    for node in _in_order(scope):
        for field in ("id", "arg", "name"):
            if isinstance(name := getattr(node, field, None), str) and name.startswith("local_"):
                setattr(node, field, numbers.setdefault(name, f"local_{len(numbers)}"))


def _bound(scope: ast.AST) -> Iterator[str]:
    for node in _in_order(scope):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif (isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name) or (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node is not scope
        ):
            yield node.name or ""


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes in the order of the text."""
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _drop_unread(function: ast.FunctionDef) -> None:
    """Drop assignments of variables that nothing reads: those that messages used."""
    while True:
        read = Counter(node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
        unread = [node for node in ast.walk(function) if isinstance(node, ast.Assign) and _is_unread(node, read)]
        if not unread:
            return
        _Without(unread).visit(function)


def _drop_unread_options(function: ast.FunctionDef) -> None:
    """Drop keyword-only parameters with a default that nothing reads: those that said how something is transported."""
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    options = [*zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)]
    left = [(option, default) for option, default in options if default is None or option.arg in used]
    function.args.kwonlyargs, function.args.kw_defaults = [option for option, _ in left], [default for _, default in left]


def _is_unread(node: ast.Assign, read: Counter[str]) -> bool:
    [target, *others] = node.targets
    if others or not isinstance(target, ast.Name) or not target.id.startswith("local_") or read[target.id]:
        return False
    return not any(
        isinstance(part, ast.Yield | ast.YieldFrom | ast.NamedExpr) or (isinstance(part, ast.Call) and not _PURE.fullmatch(_called(part)))
        for part in ast.walk(node.value)
    )


def _inline(function: ast.FunctionDef) -> None:
    """Put the value of a variable where it is read, if that is once, and before anything else that the next statement does."""
    names = Counter(node.id for node in ast.walk(function) if isinstance(node, ast.Name))
    names.update(node.arg for node in ast.walk(function) if isinstance(node, ast.arg))
    for node in ast.walk(function):
        for field in ("body", "orelse", "finalbody"):
            if isinstance(block := getattr(node, field, None), list):
                _inline_in(block, names)


def _inline_in(block: list[ast.stmt], names: Counter[str]) -> None:
    for number in reversed(range(len(block) - 1)):
        match block[number]:
            case ast.Assign(targets=[ast.Name(name)], value=value) if name.startswith("local_") and names[name] == 2:
                if _reads_first(_evaluated(block[number + 1]), name):
                    block[number + 1] = cast(ast.stmt, _Replaced(name, value).visit(block[number + 1]))
                    del block[number]


def _evaluated(statement: ast.stmt) -> ast.AST | None:
    """What a statement evaluates first, and once."""
    match statement:
        case ast.Return(value=found) | ast.Expr(value=found) | ast.Assign(value=found):
            return found
        case ast.If(test=found) | ast.For(iter=found):
            return found
        case ast.With(items=[item, *_]):
            return item.context_expr
    return None


def _reads_first(node: ast.AST | None, name: str) -> bool | None:
    """True: it reads the variable before it calls anything. False: something else comes first. None: it has neither."""
    match node:
        case None | ast.Lambda():
            return None
        case ast.Name():
            return node.id == name or None
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return _reads_first(node.generators[0].iter, name) or False
        case ast.IfExp(test=first) | ast.BoolOp(values=[first, *_]):
            return _reads_first(first, name) or False
    inside = next((found for child in ast.iter_child_nodes(node) if (found := _reads_first(child, name)) is not None), None)
    return False if inside is None and isinstance(node, ast.Call | ast.Yield | ast.YieldFrom | ast.NamedExpr | ast.Compare) else inside


class _Replaced(ast.NodeTransformer):
    def __init__(self, name: str, value: ast.expr):
        self._name, self._value = name, value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._value if node.id == self._name else node


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "").rpartition(".")[2]


class _Without(ast.NodeTransformer):
    def __init__(self, nodes: list[ast.Assign]):
        self._nodes = nodes

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if node in self._nodes else node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node
