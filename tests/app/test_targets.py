"""A TARGET is what a person typed: it is loaded as named, or one sentence says why not."""

from __future__ import annotations

import importlib
import re
import sys
from typing import TYPE_CHECKING

import pytest

from durum.app.targets import configured_targets, load_target, load_workflows
from durum.errors import ConfigError, TargetError, WorkflowDefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE = """
from durum import Workflow

flow = Workflow("orders", version="1")

@flow.step
def one() -> int:
    return 1
"""
TWO = ONE + '\nother = Workflow("returns")\n'


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    """Leave no trace of loaded files in this process."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(path: Path, text: str) -> str:
    """Write a file and return its path as a person would type it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def refused(target: str) -> str:
    """Return the reason a target is refused with."""
    with pytest.raises(TargetError) as caught:
        load_target(target)
    assert caught.value.target == target
    assert str(caught.value) == f"cannot load {target}: {caught.value.reason}"
    assert "\n" not in caught.value.reason
    return caught.value.reason


# --- which workflow -------------------------------------------------------------------------------------------------------


def test_a_file_with_one_workflow_needs_no_name(tmp_path: Path) -> None:
    """By variable and by op id it is the same one."""
    file = write(tmp_path / "flow.py", ONE)
    for target in (file, f"{file}:flow", f"{file}:orders"):
        assert load_target(target).name == "orders"
    assert list(load_workflows(file)) == ["flow"]


def test_of_several_one_must_be_named(tmp_path: Path) -> None:
    """All are listed; the name may be the variable's or the workflow's."""
    file = write(tmp_path / "flow.py", TWO)
    assert refused(file) == f"it holds several workflows (flow, other); name one as {file}:flow"
    assert load_target(f"{file}:other").name == load_target(f"{file}:returns").name == "returns"
    assert sorted(load_workflows(file)) == ["flow", "other"]
    assert list(load_workflows(f"{file}:returns")) == ["returns"]


def test_one_workflow_under_two_names_is_one(tmp_path: Path) -> None:
    """The first name is its name, the other works too."""
    file = write(tmp_path / "flow.py", ONE + "\nalias = flow\n")
    assert list(load_workflows(file)) == ["flow"]
    assert load_target(f"{file}:alias").name == load_target(file).name == "orders"


def test_two_versions_of_a_workflow_are_told_apart_by_variable(tmp_path: Path) -> None:
    """The op id alone says too little."""
    file = write(tmp_path / "flow.py", ONE + '\nnew = Workflow("orders", version="2")\n')
    assert load_target(f"{file}:new").version == "2"
    assert refused(f"{file}:orders") == "it holds several workflows orders (flow, new); name a variable"


def test_a_name_that_is_not_there_is_answered_with_one_that_is(tmp_path: Path) -> None:
    """The closest, else all; a bare plan cannot be started from the command line."""
    file = write(tmp_path / "flow.py", TWO + "from durum import ExecutionPlan\nplan = ExecutionPlan('x', ())\n")
    assert refused(f"{file}:flaw") == "it has no workflow flaw; did you mean flow?"
    assert refused(f"{file}:zzz") == "it has no workflow zzz; it holds flow, other"
    assert refused(f"{file}:plan") == "plan is a bare plan; start it with durum.open(...).start(plan)"
    empty = write(tmp_path / "empty.py", "x = 1\n")
    assert refused(empty) == "it defines no Workflow; make one with durum.Workflow('name')"
    assert refused(f"{empty}:x") == "it has no workflow x; it holds none"


# --- which file -----------------------------------------------------------------------------------------------------------


def test_what_is_no_target_is_told_the_forms(tmp_path: Path) -> None:
    """A file without its suffix, a folder, a name that cannot be one."""
    forms = "name it as file.py, file.py:name or package.module:name"
    for target in (
        "flow",
        "",
        ":",
        ":flow",
        "flow.py:",
        "a..b:flow",
        ".b:flow",
        "../b:flow",
        "a-b:flow",
        "x.py:1st",
        str(tmp_path),
    ):
        assert refused(target) == forms


def test_files_that_are_no_files_are_told_apart(tmp_path: Path) -> None:
    """Not there, and a folder."""
    (tmp_path / "folder.py").mkdir()
    assert refused(str(tmp_path / "missing.py")) == "there is no such file"
    assert refused(str(tmp_path / "missing.py:flow")) == "there is no such file"
    assert refused(str(tmp_path / "folder.py")) == "it is no file"


@pytest.mark.parametrize("target", ["flow.yaml", "flow.yml", "flow.json", "flow.yaml:name", "/a/flow.json:name"])
def test_yaml_and_json_are_named_as_what_is_missing(target: str) -> None:
    """With and without a name, whether the file is there or not."""
    assert refused(target) == "workflows in YAML or JSON are not supported by this version; write it in Python"


def test_a_relative_path_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the file it means stays the same when a step changes that."""
    write(tmp_path / "sub" / "flow.py", ONE + "\nimport os\nWHERE = __file__\n")
    monkeypatch.chdir(tmp_path)
    workflow = load_target("sub/flow.py")
    monkeypatch.chdir(tmp_path / "sub")
    assert load_target("../sub/flow.py").name == workflow.name
    (function,) = [step.function for step in workflow._steps.values()]
    assert function.__globals__["WHERE"] == str(tmp_path / "sub" / "flow.py")
    assert load_target("flow.py").plan().shape == workflow.plan().shape


def test_names_with_colons_and_dots_are_files(tmp_path: Path) -> None:
    """Only the part behind the last colon can be a name, and only if it is one."""
    assert load_target(write(tmp_path / "a:b.c.py", ONE)).name == "orders"
    assert load_target(str(tmp_path / "a:b.c.py") + ":flow").name == "orders"


def test_a_module_is_imported_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the working directory; one that is not there is told as such, one inside it by its own name."""
    write(tmp_path / "package_a" / "__init__.py", "")
    write(tmp_path / "package_a" / "flows.py", TWO)
    write(tmp_path / "package_a" / "broken.py", "import not_there_either\n")
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    assert load_target("package_a.flows:flow").name == "orders"
    assert load_target("package_a.flows:returns").name == "returns"
    assert load_workflows("package_a.flows:flow").keys() == {"flow"}
    assert refused("package_b.flows:flow") == "there is no module package_b; run it from the folder that holds it"
    assert refused("package_a.missing:flow").startswith("there is no module package_a.missing;")
    assert refused("package_a.broken:flow") == (
        f"it raises ModuleNotFoundError: No module named 'not_there_either' in line 1 of {tmp_path}/package_a/broken.py"
    )
    assert refused("package_a.flows") == "name it as file.py, file.py:name or package.module:name"


# --- what goes wrong in a file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1\ndef f(:\n", "syntax error in line 2: "),
        ("x = 1\n  y = 2\n", "syntax error in line 2: unexpected indent"),
        ("x = '\0'\n", "syntax error: source code string cannot contain null bytes|syntax error in line 1: "),
        ("\n\n1 / 0\n", "it raises ZeroDivisionError: division by zero in line 3"),
        ("import not_there\n", "it raises ModuleNotFoundError: No module named 'not_there' in line 1"),
        ("from durum import Worklow\n", "it raises ImportError: cannot import name 'Worklow' from 'durum' .* in line 1"),
        ("\nimport sys\nsys.exit()\n", "it raises SystemExit in line 3; a file must load without ending the process"),
        ("import sys\nsys.exit('no')\n", "it raises SystemExit: no in line 2; a file must load without ending the process"),
        ("import re\nre.compile('(')\n", r"it raises (re\.)?(error|PatternError): missing \), .* in line 2"),
        ("raise GeneratorExit\n", "it raises GeneratorExit in line 1"),
        ("def f():\n    f()\nf()\n", "it raises RecursionError: maximum recursion depth exceeded.* in line 2"),
        ("raise AssertionError('a\\nb')\n", "it raises AssertionError: a b in line 1"),
    ],
)
def test_a_file_that_does_not_load_is_told_with_the_line(tmp_path: Path, text: str, reason: str) -> None:
    """Whatever it raises; the process goes on, and nothing of the file stays behind."""
    modules = set(sys.modules)
    assert re.match(reason, refused(write(tmp_path / "flow.py", text)))
    assert not [name for name in set(sys.modules) - modules if name.startswith("durum_target")]


def test_a_syntax_error_in_an_imported_file_names_that_file(tmp_path: Path) -> None:
    """The line alone would mislead."""
    write(tmp_path / "beside_broken.py", "def f(:\n")
    file = write(tmp_path / "flow.py", "import os\nimport beside_broken\n")
    assert refused(file).startswith(f"syntax error in line 1 of {tmp_path}/beside_broken.py: ")


def test_durums_own_errors_and_ctrl_c_pass_as_they_are(tmp_path: Path) -> None:
    """The first say enough, the second is no fault of the file."""
    file = write(tmp_path / "flow.py", 'from durum import Workflow\nWorkflow("A B")\n')
    with pytest.raises(WorkflowDefinitionError, match="invalid op_id: 'A B'") as caught:
        load_target(file)
    assert caught.value.__cause__ is not caught.value
    with pytest.raises(KeyboardInterrupt):
        load_target(write(tmp_path / "stop.py", "raise KeyboardInterrupt\n"))


# --- settings -------------------------------------------------------------------------------------------------------------


def test_targets_are_read_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the file, the table or the list there are none."""
    monkeypatch.chdir(tmp_path)
    assert list(configured_targets()) == []
    for text in ("", "[project]\nname = 'x'\n", "[tool.other]\nx = 1\n", "[tool.durum]\n", "tool = 3\n"):
        write(tmp_path / "pyproject.toml", text)
        assert list(configured_targets()) == []
    write(tmp_path / "pyproject.toml", "[tool.durum]\nworkflows = ['a.py', 'b.py:flow']\n")
    assert configured_targets() == ["a.py", "b.py:flow"]
    assert configured_targets(tmp_path) == ["a.py", "b.py:flow"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[tool.durum\n", "cannot be read: Expected ']' at the end of a table declaration"),
        ("[tool.durum]\nworkflows = 'a.py'\n", "must be a list of targets, such as ['flow.py']"),
        ("[tool.durum]\nworkflows = [1]\n", "must be a list of targets"),
        ("[tool]\ndurum = 3\n", "[tool.durum] in "),
        ("[tool.durum]\nworkflow = ['a.py']\n", "has no setting workflow; did you mean workflows?"),
        ("[tool.durum]\nzzz = 1\n", "has no setting zzz; it knows workflows"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    """With the file and what was meant, probably."""
    write(tmp_path / "pyproject.toml", text)
    with pytest.raises(ConfigError) as caught:
        configured_targets(tmp_path)
    assert reason in str(caught.value)
    assert str(tmp_path / "pyproject.toml") in str(caught.value)


def test_a_settings_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, and a folder."""
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        configured_targets(tmp_path)
    (tmp_path / "pyproject.toml").unlink()
    (tmp_path / "pyproject.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        configured_targets(tmp_path)
