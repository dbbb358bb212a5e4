"""A digest of a step's code that formatting, comments, docstrings and the names of local variables do not change.

It covers the functions, classes and constants of the same module that the step uses, the values it closes over and its default
arguments. It is a hint that a step changed; whether that matters is for replay to judge.
"""

from __future__ import annotations

import inspect
import linecache
import re
import sys
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import PurePath
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from durum.core.canonical import canonical_json, digest_bytes
from durum.errors import CanonicalJsonError
from durum.workflow.syntax import Code, Source, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SPELLED = (bytes, complex, float, range, Enum, PurePath, Decimal, UUID, date, time, timedelta)  # their repr says it all
_MAX_NESTING = 8

_Definition: TypeAlias = "FunctionType | type"

_sources: dict[str, tuple[list[str], Source | None]] = {}  # file -> its lines as linecache holds them, and what they mean


def code_digest(function: Callable[..., object]) -> str | None:
    """Return the digest of a function, None where Python has no source for it."""
    bound, plain = unwrapped(function)
    if plain is None or not _code_of(plain):
        return None
    parts = [f"bound {_constant(value)}" for value in bound]
    found: list[_Definition] = [plain]
    for definition in found:  # grows while it is gone through
        for part in _described(definition, plain.__module__):
            if isinstance(part, str):
                parts.append(part)
                continue
            if part not in found:
                found.append(part)
            parts.append(f"-> {found.index(part)}")
    return digest_bytes("\n".join(parts).encode())


def unwrapped(function: object) -> tuple[list[object], FunctionType | None]:
    """Return what ``partial`` binds to a function and the function inside, None if it is not written in Python."""
    bound: list[object] = []
    while not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):
        if isinstance(function, partial):
            bound += [list(function.args), sorted(function.keywords.items())]
            function = function.func
        elif isinstance(function, MethodType):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return bound, None
    return bound, function


def _described(definition: _Definition, module: str) -> Iterator[str | _Definition]:
    """Return a definition's own code, then each name it takes from outside with the constant or definition behind it."""
    yield definition.__qualname__
    free: set[str] = set()
    for text, names in _code_of(definition):
        yield text
        free |= names
    if isinstance(definition, FunctionType):
        yield f"defaults {_constant([definition.__defaults__, sorted((definition.__kwdefaults__ or {}).items())])}"
    surroundings = _surroundings(definition)
    for name in sorted(free & surroundings.keys()):
        value = surroundings[name]
        inner = value if isinstance(value, type) else unwrapped(value)[1]
        if inner is None:
            constant = _constant(value)
            if constant is not None:
                yield f"{name} = {constant}"
        elif inner.__module__ == module and _code_of(inner):
            yield name
            yield inner


def _code_of(definition: _Definition) -> list[tuple[str, frozenset[str]]]:
    """Return text and free names of a definition's code; empty if Python has no source for it."""
    try:
        source = _source(inspect.getfile(definition), _module_of(definition))
    except (OSError, TypeError):
        return []
    if source is None:
        return []
    found: list[Code]
    if isinstance(definition, FunctionType):
        found = source.functions(definition.__code__.co_firstlineno, definition.__code__.co_name)
    else:
        found = source.classes(definition.__qualname__)
    return [(source.text(code), source.free_names(code)) for code in found]


def _source(file: str, module: dict[str, Any]) -> Source | None:
    linecache.checkcache(file)
    lines = linecache.getlines(file, module)
    known = _sources.get(file)
    if known is None or known[0] is not lines:
        known = _sources[file] = (lines, parse("".join(lines)))
    return known[1]


def _module_of(definition: _Definition) -> dict[str, Any]:
    if isinstance(definition, FunctionType):
        return definition.__globals__
    module = sys.modules.get(definition.__module__)
    return {} if module is None else vars(module)


def _surroundings(definition: _Definition) -> Mapping[str, object]:
    """Return what a definition can see: its module's names, and before them what it closes over."""
    seen = _module_of(definition)
    if isinstance(definition, FunctionType) and definition.__closure__:
        seen = dict(seen)
        for name, cell in zip(definition.__code__.co_freevars, definition.__closure__, strict=True):
            try:
                seen[name] = cell.cell_contents
            except ValueError:  # a cell not filled yet
                seen.pop(name, None)
    return seen


def _constant(value: Any, nesting: int = 0) -> str | None:  # noqa: ANN401 - whatever a module holds
    """Return a value as text if it is data, None for anything else."""
    kind = type(value).__name__
    try:
        return f"{kind} {canonical_json(value).decode()}"
    except CanonicalJsonError:
        pass
    if isinstance(value, _SPELLED):
        return f"{kind} {value!a}"
    if isinstance(value, re.Pattern):
        return f"{kind} {value.pattern!a} {value.flags}"
    if nesting == _MAX_NESTING or not isinstance(value, dict | list | tuple | set | frozenset):
        return None
    items = value.items() if isinstance(value, dict) else value
    texts = [str(_constant(item, nesting + 1)) for item in items]
    return f"{kind} [{', '.join(sorted(texts) if isinstance(value, set | frozenset) else texts)}]"
