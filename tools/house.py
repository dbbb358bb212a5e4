"""The rules of the house that no other tool checks: file length, function length, file names, paths of one machine.

Every rule returns all its findings, one line each: `path:line: what is wrong`.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tools.project import CODE, all_files, python_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
BANNED_NAMES = frozenset({"base", "common", "helper", "helpers", "misc", "util", "utils"})
MACHINE_PATHS = ("/" + "work/", "." + "library", "/" + "opt/pypi", "/" + "opt/wheels")


def problems(root: Path) -> list[str]:
    """Return the findings of every rule."""
    return [*long_files(root), *long_functions(root), *banned_names(root), *machine_paths(root)]


def long_files(root: Path) -> list[str]:
    """Find Python files of more physical lines than fit in a head."""
    counts = ((file, len(file.read_bytes().splitlines())) for file in python_files(root, *CODE))
    return [
        f"{file.relative_to(root)}:{MAX_FILE_LINES + 1}: {lines} lines, at most {MAX_FILE_LINES}: split it by noun"
        for file, lines in counts
        if lines > MAX_FILE_LINES
    ]


def long_functions(root: Path) -> list[str]:
    """Find functions in src that are too long, from `def` to their last line."""
    return [
        f"{file.relative_to(root)}:{function.lineno}: {function.name}() has {lines} lines, at most {MAX_FUNCTION_LINES}"
        for file in python_files(root, "src")
        for function in functions(file)
        if (lines := (function.end_lineno or function.lineno) - function.lineno + 1) > MAX_FUNCTION_LINES
    ]


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a file, nested ones too; a file that cannot be parsed is ruff's to report."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def banned_names(root: Path) -> list[str]:
    """Find files and folders whose name says nothing."""
    return [
        f"{file.relative_to(root)}:1: the name {part!r} does not say what is in it"
        for file in python_files(root, *CODE)
        for part in file.relative_to(root).with_suffix("").parts
        if part.removeprefix("test_").strip("_") in BANNED_NAMES
    ]


def machine_paths(root: Path) -> list[str]:
    """Find mentions of places that exist on one machine only."""
    return [
        f"{file.relative_to(root)}:{number}: names {path!r}, which is a place on one machine"
        for file in all_files(root)
        for number, line in enumerate(file.read_text("utf-8", errors="replace").splitlines(), start=1)
        for path in MACHINE_PATHS
        if path in line
    ]
