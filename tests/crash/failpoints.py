"""Every place of the source that makes something durable or lets the outside see something, found in the source itself."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

from durum.testing.crash.boundaries import FILE_CALLS, WRITING
from tools.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = ROOT / "src" / "durum"
STORES = frozenset({"store", "_store"})
CALLS = frozenset({"outcome_of"})  # what performs a live call, of a transport or of a step that is itself the effect
SQL = {"execute": "COMMIT", "executescript": "BEGIN"}


class Failpoint(NamedTuple):
    """A call: where it stands, and what it calls."""

    module: str
    first_line: int
    last_line: int
    called: str

    def is_at(self, site: str) -> bool:
        """Tell whether a crossing happened here."""
        module, _, line = site.rpartition(":")
        return module == self.module and self.first_line <= int(line) <= self.last_line

    def __str__(self) -> str:
        """Return it as an editor finds it."""
        return f"{self.module}:{self.first_line} {self.called}"


def failpoints() -> list[Failpoint]:
    """Return those of the engine, the application and the SQLite store."""
    files = [file for room in ("engine", "app", "stores") for file in sorted((SOURCE / room).glob("*.py"))]
    return [found for file in files if file.name != "memory.py" for found in _in_file(file)]


def _in_file(file: Path) -> Iterator[Failpoint]:
    module = ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver, called = ast.unparse(node.func.value).rpartition(".")[2], node.func.attr
            in_store = file.parent.name == "stores"
            if _is_file_call(node, receiver) if in_store else _is_port_call(receiver, called):
                yield Failpoint(module, node.lineno, node.end_lineno or node.lineno, ast.unparse(node.func))


def _is_port_call(receiver: str, called: str) -> bool:
    return called in CALLS or (called in WRITING and receiver in STORES)


def _is_file_call(node: ast.Call, receiver: str) -> bool:
    assert isinstance(node.func, ast.Attribute)
    called, arguments = node.func.attr, [ast.unparse(argument) for argument in node.args]
    if called in SQL:
        return any(SQL[called] in argument for argument in arguments)
    if called == "replace" and len(arguments) > 1:
        return receiver == "os"  # a text's has two arguments as well
    return called in FILE_CALLS


def hidden() -> list[str]:
    """Return where a method that writes is taken from a store and not called there: it would be called where nobody looks."""
    found = []
    for room in ("engine", "app"):
        for file in sorted((SOURCE / room).glob("*.py")):
            tree = ast.parse(file.read_text("utf-8"))
            called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
            found += [
                f"{file.name}:{node.lineno} {ast.unparse(node)}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and node.attr in WRITING and id(node) not in called
                if ast.unparse(node.value).rpartition(".")[2] in STORES
            ]
    return found
