"""The source keeps the house's promises: few public names, tests where they are looked for, nothing stored is ever run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import durum
from tools.project import ROOT

SOURCE = ROOT / "src" / "durum"
TESTS = ROOT / "tests"

# Test folders that mirror no room of the source, and why.
BY_SUBJECT = {
    "crash": "kill -9 at every point of a real run",
    "docs": "what the pages show, run",
    "examples": "the examples, run on real repositories",
    "golden": "logs of released versions",
    "house": "the project's own rules",
    "properties": "what holds for all inputs, across rooms",
    "typing": "only type-checked",
}
# Test files in a room's folder that mirror no module of it, and why.
BY_CONTRACT = {
    "engine/test_calls_side_by_side.py": "live_io and replay_io together: answers come in the order they came live",
    "engine/test_each.py": "attempts, recovery, fold and each together: items cut off, changed, and acting on the world",
    "engine/test_fencing.py": "recorder, live_io and driver together: a worker that lost its run",
    "stores/test_conformance.py": "one suite over every store",
    "stores/test_machine.py": "random operations against a model, over every store",
}

MAX_PUBLIC_NAMES = 40
IMPORTS_CODE = "app/targets.py"  # loads what the person at the terminal names, nothing else
RUNS_CODE = frozenset({"__import__", "compile", "eval", "exec"})
HARMLESS = ("importlib.metadata", "importlib.resources")
FORBIDDEN = frozenset({"cloudpickle", "code", "codeop", "dill", "imp", "importlib", "marshal", "pickle", "runpy", "shelve"})


def test_the_front_page_stays_short() -> None:
    """`durum` offers at most 40 names."""
    assert len(getattr(durum, "__all__", ())) <= MAX_PUBLIC_NAMES


def test_every_test_file_mirrors_a_module() -> None:
    """Whoever looks for a module's tests finds them under the same name, or the reason why not above."""
    files = {file.relative_to(TESTS) for file in TESTS.rglob("test_*.py")}
    assert sorted(str(file) for file in files if not mirrored(file)) == []


def test_no_reason_is_kept_that_is_not_needed() -> None:
    """Where a module of that name has come, the file mirrors it and the list above can be shorter."""
    assert [name for name in BY_CONTRACT if mirrors_module(Path(name))] == []


def mirrored(file: Path) -> bool:
    """Tell whether tests/<file> is where it belongs."""
    return file.parts[0] in BY_SUBJECT or str(file) in BY_CONTRACT or mirrors_module(file)


def mirrors_module(file: Path) -> bool:
    """Tell whether `test_<module>.py` or, where a module has many tests, `test_<module>_<topic>.py` has its module."""
    words = file.stem.removeprefix("test_").split("_")
    names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
    folder = SOURCE / file.parent
    return any((folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file() for name in names)


def test_nothing_stored_is_run_or_imported() -> None:
    """No pickle, no eval, no import by a name that came from a store: only the target a person names is loaded."""
    files = {file.relative_to(SOURCE).as_posix(): file for file in SOURCE.rglob("*.py")}
    assert [f"{name}:{line}" for name, file in sorted(files.items()) for line in unsafe(name, file.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "exec(body)",
        "compile(body, 'x', 'exec')",
        "run = eval",
        "builtins.exec(body)",
        "module = __import__(name)",
        "import pickle",
        "from marshal import loads",
        "import importlib",
        "from importlib import import_module",
        "import importlib.util",
        "def lazily():\n    import runpy",
        "import builtins\nbuiltins.eval(text)",
    ],
)
def test_the_scan_finds(text: str) -> None:
    """Each way to run what was stored is seen, at any depth."""
    assert unsafe("engine/driver.py", text) != []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("app/targets.py", "import importlib.util"),
        ("stores/sql.py", "from importlib.resources import files"),
        ("stores/sql.py", "from importlib import resources"),
        ("stores/sql.py", "import importlib.metadata"),
        ("core/ids.py", "import re\nre.compile('x')"),
        ("engine/io.py", "io.exec(['git'])"),
        ("workflow/authoring.py", "def flow(exec=()):\n    return tuple(exec)"),
    ],
)
def test_the_scan_lets_pass(name: str, text: str) -> None:
    """Package data, regular expressions and the exec transport are no danger; targets.py is the one place that loads code."""
    assert unsafe(name, text) == []


def unsafe(name: str, text: str) -> list[int]:
    """Return the lines of a source file that could run or import what was stored."""
    return sorted(
        node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.expr | ast.stmt) and danger(name, node)
    )


def danger(name: str, node: ast.AST) -> bool:
    """Tell whether a node calls a builtin that runs code or imports a module that does."""
    match node:
        case ast.Call(func=ast.Name(id="exec")):  # as a bare name it is also a parameter: Workflow(exec=[...])
            return True
        case ast.Name(id=called) | ast.Attribute(value=ast.Name(id="builtins"), attr=called):
            return called in RUNS_CODE and (called != "exec" or isinstance(node, ast.Attribute))
        case ast.Import(names=names):
            wanted = [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), names=names, level=0):
            wanted = [f"{module}.{alias.name}" for alias in names]
        case _:
            return False
    allowed = (*HARMLESS, *(("importlib",) if name == IMPORTS_CODE else ()))
    return any(module.partition(".")[0] in FORBIDDEN and not module.startswith(allowed) for module in wanted)
