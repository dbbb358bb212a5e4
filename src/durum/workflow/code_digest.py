"""A digest of a step's code that formatting, comments, docstrings and the names of local variables do not change.

It covers the functions and constants of the same module that the step uses, and the values it closes over. It is a hint that a
step changed; whether that matters is for replay to judge.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import FunctionType
from typing import TYPE_CHECKING

from durum.core.canonical import canonical_json, digest
from durum.errors import CanonicalJsonError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SILENT_FIELDS = frozenset({"type_comment", "type_params", "kind", "ctx", "decorator_list"})


def code_digest(function: Callable[..., object]) -> str | None:
    """Return the digest of a function, None where Python has no source for it."""
    seen: dict[str, object] = {}
    if not isinstance(function, FunctionType) or not _collect(function, seen):
        return None
    return digest(sorted(seen.items()))


def _collect(function: FunctionType, seen: dict[str, object]) -> bool:
    """Add a function and what it uses to ``seen`` (name -> dump or constant); False if its source is not to be had."""
    name = function.__qualname__
    if name in seen:
        return True
    tree = _parse(function)
    if tree is None:
        return False
    seen[name] = _dump(tree, _local_names(tree))
    for used, value in _surroundings(function, tree):
        if isinstance(value, FunctionType):
            if value.__module__ == function.__module__:
                _collect(value, seen)
        elif (constant := _constant(value)) is not None:
            seen[f"{name}:{used}"] = constant
    return True


def _parse(function: FunctionType) -> ast.AST | None:
    try:
        source = textwrap.dedent(inspect.getsource(function))
        body = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    return body if isinstance(body, ast.FunctionDef | ast.AsyncFunctionDef) else None


def _surroundings(function: FunctionType, tree: ast.AST) -> Iterator[tuple[str, object]]:
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    for name in sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}):
        if name in cells:
            try:
                yield name, cells[name].cell_contents
            except ValueError:  # a cell not filled yet
                continue
        elif name in function.__globals__:
            yield name, function.__globals__[name]


def _constant(value: object) -> str | None:
    try:
        return canonical_json(value).decode()
    except CanonicalJsonError:
        return None


def _local_names(tree: ast.AST) -> Mapping[str, str]:
    """Return local variable -> placeholder by order of first appearance; parameters keep their names, they are the contract."""
    parameters = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    stored = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    names: dict[str, str] = {}
    for node in sorted(stored, key=lambda node: (node.lineno, node.col_offset)):
        if node.id not in parameters:
            names.setdefault(node.id, f"local{len(names)}")
    return names


def _dump(node: object, names: Mapping[str, str]) -> object:
    """Return a syntax tree as JSON that no Python version, position or docstring changes."""
    if isinstance(node, ast.AST):
        fields: dict[str, object] = {"node": type(node).__name__}
        for field, value in ast.iter_fields(node):
            kept = _without_docstring(node, value) if field == "body" else value
            if field not in _SILENT_FIELDS and kept is not None and kept != []:
                fields[field] = _dump(kept, names)
        return fields
    if isinstance(node, list):
        return [_dump(item, names) for item in node]
    if isinstance(node, str):
        return names.get(node, node)
    return node if isinstance(node, int | float | bool | None) and _constant(node) is not None else repr(node)


def _without_docstring(node: ast.AST, body: object) -> object:
    functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    if isinstance(node, functions) and isinstance(body, list) and body and isinstance(body[0], ast.Expr):
        first = body[0].value
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            return body[1:]
    return body
