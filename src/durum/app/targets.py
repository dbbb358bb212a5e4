"""TARGET to workflow: the only place that imports code by a name, and only a name a person gave.

A file is executed anew each time it is loaded, so no run finds what another left in its variables; what it imports is imported
once a process, as ever in Python.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import sys
import tomllib
from difflib import get_close_matches
from importlib.machinery import SourceFileLoader
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING

from durum.core.failure import text_of
from durum.core.plan import ExecutionPlan
from durum.errors import ConfigError, DurumError, TargetError
from durum.workflow.authoring import Workflow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType, ModuleType

_FORMS = "name it as file.py, file.py:name or package.module:name"
_DATA_FILES = (".yaml", ".yml", ".json")
_SETTINGS = ("workflows",)
_MAX_SAID_CHARACTERS = 500

_folders: list[Path] = []  # of the files loaded so far; what lies beside them may be imported


def load_target(target: str) -> Workflow:
    """Return the workflow a TARGET names: ``file.py``, ``file.py:name`` or ``package.module:name``.

    Raises:
        TargetError: the file or module cannot be loaded, or holds no such workflow.
    """
    workflows = load_workflows(target)
    if len(workflows) > 1:
        names = ", ".join(sorted(workflows))
        raise TargetError(target, f"it holds several workflows ({names}); name one as {target}:{next(iter(workflows))}")
    return next(iter(workflows.values()))


def load_workflows(target: str) -> dict[str, Workflow]:
    """Return variable name -> workflow of a TARGET; one entry if it names one."""
    place, name = _split(target)
    module = _from_file(target, place) if place.endswith(".py") else _from_module(target, place)
    found: dict[str, Workflow] = {}
    for key, value in vars(module).items():
        if isinstance(value, Workflow) and (key == name or value not in found.values()):
            found[key] = value
    if name:
        return {name: _named(target, module, found, name)}
    if not found:
        raise TargetError(target, "it defines no Workflow; make one with durum.Workflow('name')")
    return found


def _named(target: str, module: ModuleType, found: dict[str, Workflow], name: str) -> Workflow:
    by_op_id = [workflow for workflow in found.values() if workflow.name == name]
    if name in found or len(by_op_id) == 1:
        return found[name] if name in found else by_op_id[0]
    if by_op_id:
        variables = ", ".join(key for key, workflow in found.items() if workflow.name == name)
        raise TargetError(target, f"it holds several workflows {name} ({variables}); name a variable")
    if isinstance(getattr(module, name, None), ExecutionPlan):
        raise TargetError(target, f"{name} is a bare plan; start it with durum.open(...).start(plan)")
    close = get_close_matches(name, [*found, *(workflow.name for workflow in found.values())], n=1)
    hint = f"did you mean {close[0]}?" if close else f"it holds {', '.join(found) or 'none'}"
    raise TargetError(target, f"it has no workflow {name}; {hint}")


def _split(target: str) -> tuple[str, str]:
    place, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier():
        place, name = target, ""
    if place.endswith(_DATA_FILES):
        raise TargetError(target, "workflows in YAML or JSON are not supported by this version; write it in Python")
    if not place.endswith(".py") and not (name and all(part.isidentifier() for part in place.split("."))):
        raise TargetError(target, _FORMS)
    return place, name


# --- importing ------------------------------------------------------------------------------------------------------------


class _Loader(SourceFileLoader):
    """Compiles what the file holds now; a cached compilation is told from a newer file by whole seconds only."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _from_file(target: str, place: str) -> ModuleType:
    path = Path(place).absolute()
    if not path.is_file():
        raise TargetError(target, "it is no file" if path.exists() else "there is no such file")
    real = path.resolve()
    name = f"durum_target_{path.stem}_{hashlib.sha256(os.fsencode(real)).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    _let_import_beside(real.parent)
    with _told(target, str(path)):
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            if before is not None:
                sys.modules[name] = before
            raise
    return module


def _let_import_beside(folder: Path) -> None:
    """Let a file import what lies beside it, though another file's folder may hold modules of the same names."""
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))
    with contextlib.suppress(OSError):  # a folder may be closed to looking around
        beside = {entry.stem if entry.suffix == ".py" else entry.name for entry in folder.iterdir()}
        for name in beside & sys.modules.keys():
            if any(_lies_in(sys.modules[name], name, other) for other in _folders if other != folder):
                for part in [part for part in sys.modules if part == name or part.startswith(f"{name}.")]:
                    del sys.modules[part]
    if folder not in _folders:
        _folders.append(folder)


def _lies_in(module: ModuleType, name: str, folder: Path) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(Path(place) in {folder / f"{name}.py", folder / name} for place in places if isinstance(place, str))


def _from_module(target: str, place: str) -> ModuleType:
    here = os.getcwd()  # noqa: PTH109 - sys.path holds text
    if here not in sys.path:
        sys.path.insert(0, here)
    with _told(target, None):
        return importlib.import_module(place)


@contextlib.contextmanager
def _told(target: str, path: str | None) -> Iterator[None]:
    """Make one sentence of whatever loading raises; Durum's own errors say enough themselves."""
    try:
        yield
    except (DurumError, KeyboardInterrupt):
        raise
    except SyntaxError as error:
        line = "" if error.lineno is None else f" in line {error.lineno}"
        other = "" if error.filename in {None, path} else f" of {error.filename}"
        raise TargetError(target, f"syntax error{line}{other}: {error.msg}") from error
    except BaseException as error:
        if (
            path is None
            and isinstance(error, ModuleNotFoundError)
            and f"{target.partition(':')[0]}.".startswith(f"{error.name}.")
        ):
            raise TargetError(target, f"there is no module {error.name}; run it from the folder that holds it") from error
        said = " ".join(text_of(error).split())[:_MAX_SAID_CHARACTERS]
        text = f"{type(error).__name__}: {said}" if said else type(error).__name__
        hint = "; a file must load without ending the process" if isinstance(error, SystemExit) else ""
        raise TargetError(target, f"it raises {text}{_place(error, path)}{hint}") from error


def _place(error: BaseException, path: str | None) -> str:
    """Return the line of the target an error comes from, else the innermost line that is no machinery of importing."""
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen ")]
    for frame in reversed(frames):
        if frame.filename == path:
            return f" in line {frame.lineno}"
    last = frames[-1] if frames else None
    if last is None or last.filename in {__file__, importlib.__file__}:
        return ""
    return f" in line {last.lineno} of {last.filename}"


# --- settings -------------------------------------------------------------------------------------------------------------


def configured_targets(folder: Path | None = None) -> Sequence[str]:
    """Return ``[tool.durum] workflows`` of the working directory's ``pyproject.toml``; empty if it has none.

    Raises:
        ConfigError: the table is malformed.
    """
    path = (folder or Path.cwd()) / "pyproject.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    tool = table.get("tool", {})
    settings = tool.get("durum", {}) if isinstance(tool, dict) else {}
    if not isinstance(settings, dict):
        raise ConfigError(f"[tool.durum] in {path} must be a table")
    for name in settings.keys() - set(_SETTINGS):
        close = get_close_matches(name, _SETTINGS, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; it knows {', '.join(_SETTINGS)}"
        raise ConfigError(f"[tool.durum] in {path} has no setting {name}{hint}")
    targets = settings.get("workflows", [])
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        raise ConfigError(f"[tool.durum] workflows in {path} must be a list of targets, such as ['flow.py']")
    return targets
