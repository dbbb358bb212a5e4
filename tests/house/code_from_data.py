"""A scan for ways to run or import what was stored, by the syntax alone: imports are followed to the names they give.

What it cannot see: a name put together at run time (``"ev" + "al"``) other than as the second argument of ``getattr``, a
callable passed on under another variable's name, and what a library does inside.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

FORBIDDEN = frozenset(
    {
        *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "jsonpickle", "joblib", "shelve", "marshal", "copyreg"),
        *("code", "codeop", "imp", "importlib", "runpy", "pkgutil", "pydoc", "zipimport", "ctypes", "cffi", "logging.config"),
        *("builtins.__import__", "builtins.compile", "builtins.eval", "builtins.exec"),
        *("os.popen", "os.startfile", "os.system", "subprocess.getoutput", "subprocess.getstatusoutput"),
        *(
            "asyncio.create_subprocess_shell",
            "pydantic.ImportString",
            "typing.get_type_hints",
            "typing_extensions.get_type_hints",
            "inspect.get_annotations",
        ),
        *("yaml.full_load", "yaml.full_load_all", "yaml.unsafe_load", "yaml.unsafe_load_all"),
        *("yaml.CLoader", "yaml.FullLoader", "yaml.Loader", "yaml.UnsafeLoader"),
        *("importlib.metadata.entry_points",),
    }
)
FORBIDDEN_STARTS = ("os.exec", "os.spawn", "os.posix_spawn")
HARMLESS = ("importlib.metadata", "importlib.resources")
MAKES_CODE = frozenset({"types.CodeType", "types.FunctionType"})
PICKS_BY_NAME = frozenset({"builtins.getattr", "operator.attrgetter", "operator.methodcaller"})
NAME_HOLDERS = frozenset({"builtins.globals", "builtins.locals", "builtins.vars", "sys.modules"})
SAFE_LOADERS = frozenset({"yaml.CSafeLoader", "yaml.SafeLoader"})
BUILTINS = frozenset({"__import__", "builtins", "compile", "eval", "exec", "getattr", "globals", "locals", "vars"})

BY_NAME = "picked by a name that is not written here"
HOOK = "a decoding hook"
ANNOTATIONS = "annotations that are evaluated"
SHELL = "a shell"
STAR = "a star import"
TELLING = {"dec_hook": HOOK, "eval_str": ANNOTATIONS}
EXTENSION = "a library loaded into SQLite"


class Finding(NamedTuple):
    """One place that may run or import what was stored."""

    line: int
    what: str


def findings(text: str) -> list[Finding]:
    """Return what a module's text holds."""
    scan = _Scan()
    scan.visit(ast.parse(text))
    return sorted(set(scan.found))


def _is_forbidden(path: str) -> bool:
    if path in FORBIDDEN or path.startswith(FORBIDDEN_STARTS):
        return True
    parts = path.split(".")
    above = {".".join(parts[:count]) for count in range(1, len(parts))}
    return not (above | {path}) & {*HARMLESS} and bool(above & FORBIDDEN)


class _Scan(ast.NodeVisitor):
    """One walk over a module; ``_bound`` are the names each enclosing function binds itself."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self._imported = {name: f"builtins.{name}" for name in BUILTINS} | {"builtins": "builtins"}
        self._bound: list[set[str]] = []

    def _note(self, node: ast.expr | ast.stmt, what: str) -> None:
        self.found.append(Finding(node.lineno, what))

    # --- names ----------------------------------------------------------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> None:
        """Follow ``import a.b as c``."""
        for alias in node.names:
            self._imported[alias.asname or alias.name.partition(".")[0]] = (
                alias.name if alias.asname else alias.name.partition(".")[0]
            )
            if _is_forbidden(alias.name):
                self._note(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Follow ``from a import b as c``; what a relative import gives is this project's own."""
        for alias in node.names:
            path = f"{'.' * node.level}{node.module or ''}.{alias.name}"
            if alias.name == "*":
                self._note(node, STAR)
                continue
            self._imported[alias.asname or alias.name] = path
            if _is_forbidden(path):
                self._note(node, path)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Look into a function: what it binds itself is no builtin there; its defaults and decorators stand outside."""
        arguments = node.args
        outside = [*node.decorator_list, *arguments.defaults, *[part for part in arguments.kw_defaults if part]]
        for part in outside:
            self.visit(part)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        self._bound.append({argument.arg for argument in every if argument is not None})
        for statement in node.body:
            self.visit(statement)
        self._bound.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Name(self, node: ast.Name) -> None:
        """Look at a name that is read."""
        self._look(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Look at ``a.b.c``."""
        self._look(node)
        if self._path(node) is None:
            self.generic_visit(node)

    def _look(self, node: ast.Name | ast.Attribute) -> None:
        path = self._path(node)
        if path is not None and isinstance(node.ctx, ast.Load) and _is_forbidden(path):
            self._note(node, path)

    def _path(self, node: ast.AST) -> str | None:
        """Return what an expression names, as ``module.name``; None if that is not to be seen."""
        match node:
            case ast.Name(id=name) if not any(name in bound for bound in self._bound):
                return self._imported.get(name)
            case ast.Attribute(value=value, attr=attr):
                above = self._path(value)
                return None if above is None else f"{above}.{attr}"
            case ast.Call(func=func, args=[value, ast.Constant(value=str(attr)), *_]) if self._path(func) == "builtins.getattr":
                above = self._path(value)
                return None if above is None else f"{above}.{attr}"
        return None

    # --- calls ----------------------------------------------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> None:
        """Look at what is called, and with what."""
        path = self._path(node.func) or ""
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if path in PICKS_BY_NAME and not _is_written(node.args[1:] if path == "builtins.getattr" else node.args):
            self._note(node, BY_NAME)
        named = self._path(node)
        if path in MAKES_CODE or (named is not None and _is_forbidden(named)):
            self._note(node, named or path)
        if path in {"yaml.load", "yaml.load_all"} and not self._is_safe(node, given):
            self._note(node, path)
        if "shell" in given and not (isinstance(given["shell"], ast.Constant) and given["shell"].value is False):
            self._note(node, SHELL)
        self.found += [Finding(node.lineno, what) for keyword, what in TELLING.items() if keyword in given]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "get" and self._holds_names(node.func.value):
            self._note(node, BY_NAME)
        if isinstance(node.func, ast.Attribute) and node.func.attr in {"enable_load_extension", "load_extension"}:
            self._note(node, EXTENSION)
        self.generic_visit(node)

    def _is_safe(self, node: ast.Call, given: dict[str | None, ast.expr]) -> bool:
        loader = given.get("Loader", node.args[1] if len(node.args) > 1 else None)
        return loader is not None and self._path(loader) in SAFE_LOADERS

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Look at ``globals()[name]``, ``vars(thing)[name]``, ``thing.__dict__[name]`` and ``sys.modules[name]``."""
        if isinstance(node.ctx, ast.Load) and self._holds_names(node.value) and not _is_written([node.slice]):
            self._note(node, BY_NAME)
        self.generic_visit(node)

    def _holds_names(self, node: ast.expr) -> bool:
        """Tell whether an expression is a mapping from names to what they stand for."""
        holder = self._path(node.func) if isinstance(node, ast.Call) else self._path(node)
        return holder in NAME_HOLDERS or (isinstance(node, ast.Attribute) and node.attr == "__dict__")


def _is_written(arguments: list[ast.expr]) -> bool:
    """Tell whether the name that is asked for stands in the source."""
    return bool(arguments) and isinstance(arguments[0], ast.Constant)
