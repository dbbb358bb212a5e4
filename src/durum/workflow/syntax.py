"""Python syntax trees as text that changes with the meaning only, and the names a piece of code takes from outside."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.ClassDef)
_SILENT_FIELDS = frozenset({"type_comment", "type_params", "kind", "ctx", "decorator_list"})
_NAME_FIELDS = frozenset({"id", "name", "rest", "names", "arg"})  # of these node kinds they may hold a local name:
_NAMED = (*_DEFINITIONS, ast.Name, ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping, ast.Nonlocal, ast.arg)

Code: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef"


class Source:
    """The functions and classes of one parsed file."""

    def __init__(self, tree: ast.AST) -> None:
        self._functions: dict[tuple[int, str], list[Code]] = {}
        self._classes: dict[str, Code] = {}
        self._texts: dict[Code, str] = {}
        self._free: dict[Code, frozenset[str]] = {}
        self._index(tree)

    def _index(self, tree: ast.AST) -> None:
        stack: list[tuple[ast.AST, str]] = [(tree, "")]
        while stack:
            node, path = stack.pop()
            inside = path
            if isinstance(node, ast.ClassDef):
                self._classes[path + node.name] = node
                inside = f"{path}{node.name}."
            elif isinstance(node, _FUNCTIONS):
                name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
                first = min([node.lineno, *(mark.lineno for mark in getattr(node, "decorator_list", ()))])
                self._functions.setdefault((first, name), []).append(node)
                inside = f"{path}{name}.<locals>."
            stack += [(child, inside) for child in ast.iter_child_nodes(node)]

    def functions(self, line: int, name: str) -> list[Code]:
        """Return the functions of a name that begin in a line: one, but for lambdas side by side."""
        return self._functions.get((line, name), [])

    def classes(self, qualname: str) -> list[Code]:
        """Return the class of a qualified name, nothing if there is none."""
        found = self._classes.get(qualname)
        return [] if found is None else [found]

    def text(self, code: Code) -> str:
        """Return a function or class as text that formatting, comments, docstrings and local names do not change."""
        if code not in self._texts:
            self._texts[code] = " ".join(_tokens(code))
        return self._texts[code]

    def free_names(self, code: Code) -> frozenset[str]:
        """Return the names a function or class reads and does not bind itself."""
        if code not in self._free:
            self._free[code] = frozenset(_free_names(code))
        return self._free[code]


@lru_cache(maxsize=32)
def parse(text: str) -> Source | None:
    """Return the parsed text of a file, None if it is not Python."""
    try:
        return Source(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError):
        return None


def _tokens(code: Code) -> Iterator[str]:
    """Walk a tree without recursion; inside a function its local names stand as placeholders."""
    stack: list[tuple[object, Mapping[str, str] | None]] = [(code, None)]
    while stack:
        item, names = stack.pop()
        if isinstance(item, ast.AST):
            if names is None and isinstance(item, _FUNCTIONS):
                names = _placeholders(item)
            yield f"({type(item).__name__}"
            stack.append((")", names))
            stack += reversed([(part, names) for part in _parts(item, names or {})])
        elif isinstance(item, list):
            yield "["
            stack.append(("]", names))
            stack += reversed([(part, names) for part in item])
        else:
            yield str(item)


def _parts(node: ast.AST, names: Mapping[str, str]) -> Iterator[object]:
    """Return what a node consists of: nodes and lists of them as they are, all else as text."""
    if isinstance(node, ast.Constant):
        yield f"{type(node.value).__name__} {node.value!a}"
        return
    for field, value in ast.iter_fields(node):
        if field in _SILENT_FIELDS or value is None:
            continue
        yield f"{field}="
        if isinstance(value, list):
            yield [_spelled(node, field, item, names) for item in value if not _says_nothing(node, item)]
        else:
            yield _spelled(node, field, value, names)


def _spelled(node: ast.AST, field: str, value: object, names: Mapping[str, str]) -> object:
    if isinstance(value, ast.AST):
        return value
    if isinstance(value, str) and field in _NAME_FIELDS and isinstance(node, _NAMED):
        return names.get(value, value)
    return ascii(value)


def _says_nothing(node: ast.AST, item: object) -> bool:
    """A string that stands alone is a docstring or a comment; some Pythons put empty ones into f-strings."""
    if isinstance(node, ast.JoinedStr):
        return isinstance(item, ast.Constant) and item.value == ""
    return isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant) and isinstance(item.value.value, str)


def _placeholders(function: ast.AST) -> Mapping[str, str]:
    """Return local name -> placeholder by order of appearance; parameters of a def keep their names, they are its contract."""
    kept = {function.name} if isinstance(function, _DEFINITIONS) else set()
    for node in ast.walk(function):
        if isinstance(node, _DEFINITIONS):
            kept |= set(_parameters(node))
        elif isinstance(node, ast.Global):
            kept |= set(node.names)
    bound = [(line, column, name) for node in ast.walk(function) for line, column, name in _bound(node)]
    names: dict[str, str] = {}
    for _, _, name in sorted(bound):
        if name not in kept:
            names.setdefault(name, f"${len(names)}")
    return names


def _bound(node: ast.AST) -> Iterator[tuple[int, int, str]]:
    """Return the local names a node gives a value, with the place."""
    names: list[str | None] = []
    match node:
        case ast.Name(ctx=ast.Store()):
            names = [node.id]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar():
            names = [node.name]
        case ast.MatchMapping():
            names = [node.rest]
        case ast.Lambda():
            names = list(_parameters(node))
    for name in names:
        if name is not None:
            yield node.lineno, node.col_offset, name  # type: ignore[attr-defined]  # every node above has a place


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
    arguments = function.args
    several = [arguments.vararg, arguments.kwarg]
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *several):
        if argument is not None:
            yield argument.arg


def _free_names(scope: Code) -> set[str]:
    """Return the names read in a scope and the scopes inside it that nothing in there binds."""
    bound = set() if isinstance(scope, ast.ClassDef) else set(_parameters(scope))
    read: set[str] = set()
    read_inside: set[str] = set()
    shared: set[str] = set()
    stack = [child for field, value in ast.iter_fields(scope) if field != "decorator_list" for child in _nodes(value)]
    while stack:
        node = stack.pop()
        bound |= _bound_outside(node)
        if isinstance(node, _SCOPES):
            read_inside |= _free_names(node)
            continue
        if isinstance(node, ast.Name):
            read.add(node.id)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            shared |= set(node.names)
        stack += ast.iter_child_nodes(node)
    visible = set() if isinstance(scope, ast.ClassDef) else bound  # what a class binds its methods do not see
    return (read - bound) | (read_inside - visible) | shared


def _bound_outside(node: ast.AST) -> set[str]:
    """Return the names a node binds in the scope it stands in."""
    match node:
        case ast.Lambda():
            return set()
        case ast.ClassDef():
            return {node.name}
        case ast.alias():
            return {node.asname or node.name.partition(".")[0]}
    return {name for _, _, name in _bound(node)}


def _nodes(value: object) -> list[ast.AST]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, ast.AST)]
