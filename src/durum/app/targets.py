"""TARGET to workflow: the only place that imports code by a name, and only a name a person gave."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from durum.core.plan import ExecutionPlan
from durum.errors import ConfigError, DurumError, TargetError
from durum.workflow.authoring import Workflow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_FORMS = "name it as file.py, file.py:name or package.module:name"


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
    found: dict[str, Workflow] = {key: value for key, value in vars(module).items() if isinstance(value, Workflow)}
    if name:
        return {name: _named(target, module, found, name)}
    distinct = {id(workflow): (key, workflow) for key, workflow in found.items()}
    if not distinct:
        raise TargetError(target, "it defines no Workflow; make one with durum.Workflow('name')")
    return dict(distinct.values())


def _named(target: str, module: ModuleType, found: dict[str, Workflow], name: str) -> Workflow:
    by_op_id = {str(workflow.name): workflow for workflow in found.values()}
    workflow = found.get(name) or by_op_id.get(name)
    if workflow is not None:
        return workflow
    if isinstance(getattr(module, name, None), ExecutionPlan):
        raise TargetError(target, f"{name} is a bare plan; start it with durum.open(...).start(plan)")
    close = get_close_matches(name, [*found, *by_op_id], n=1)
    hint = f"did you mean {close[0]}?" if close else f"it holds {', '.join(found) or 'none'}"
    raise TargetError(target, f"it has no workflow {name}; {hint}")


def _split(target: str) -> tuple[str, str]:
    place, colon, name = target.rpartition(":")
    if colon and name.isidentifier():
        return place, name
    if target.endswith((".yaml", ".yml", ".json")):
        raise TargetError(target, "workflows in YAML or JSON are not supported by this version; write it in Python")
    if not target.endswith(".py"):
        raise TargetError(target, _FORMS)
    return target, ""


def _from_file(target: str, place: str) -> ModuleType:
    path = Path(place)
    if not path.is_file():
        raise TargetError(target, "there is no such file" if not path.exists() else "it is no file")
    name = f"durum_target_{path.stem}_{abs(hash(path.resolve())):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(target, "Python cannot load it")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise _refused(target, error) from error
    return module


def _from_module(target: str, place: str) -> ModuleType:
    here = os.getcwd()  # noqa: PTH109 - sys.path holds text
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(place)
    except BaseException as error:
        raise _refused(target, error) from error


def _refused(target: str, error: BaseException) -> BaseException:
    """Return a load failure as one sentence; Durum's own errors say enough themselves."""
    if isinstance(error, DurumError | KeyboardInterrupt):
        return error
    if isinstance(error, SyntaxError):
        return TargetError(target, f"syntax error in line {error.lineno}: {error.msg}")
    return TargetError(target, f"it raises {type(error).__name__}: {error}")


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
        message = f"{path} cannot be read: {error}"
        raise ConfigError(message) from error
    targets = table.get("tool", {}).get("durum", {}).get("workflows", [])
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        message = f"[tool.durum] workflows in {path} must be a list of targets"
        raise ConfigError(message)
    return targets
