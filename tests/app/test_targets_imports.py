"""Files are executed anew at each load and find what lies beside them, whatever was loaded before in the same process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PREFIX = """
import sys
from pathlib import Path
from durum.app.targets import load_target

def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")

def first(workflow):
    return next(iter(workflow._steps.values())).function

FLOW = "from durum import Workflow\\nflow = Workflow({name!r})\\n{before}\\n"
FLOW += "@flow.step\\ndef one() -> object:\\n    return {result}\\n"

def flow(path, result, before="", name="flow"):
    write(path, FLOW.format(result=result, before=before, name=name))
    return load_target(path)
"""


def told(tmp_path: Path, program: str) -> list[str]:
    """Return the lines a program prints in a process of its own, in an empty folder."""
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    words = [sys.executable, "-W", "error", "-c", PREFIX + program]
    done = subprocess.run(words, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_lies_beside_a_file_can_be_imported(tmp_path: Path) -> None:
    """Modules and packages, from any working directory, at load and later inside a step."""
    program = """
write("sub/beside.py", "WORD = 'beside'")
write("sub/later.py", "WORD = 'later'")
write("sub/pack/__init__.py", "from pack.inner import WORD")
write("sub/pack/inner.py", "WORD = 'inner'")
loaded = flow("sub/flow.py", "beside.WORD, pack.WORD, __import__('later').WORD", "import beside, pack")
print(first(loaded)())
"""
    assert told(tmp_path, program) == ["('beside', 'inner', 'later')"]


def test_two_folders_may_hold_modules_of_the_same_names(tmp_path: Path) -> None:
    """The second file gets its own neighbours, and the first keeps those it has."""
    program = """
for folder in ("a", "b"):
    write(f"{folder}/beside.py", f"WORD = 'module of {folder}'")
    write(f"{folder}/pack/__init__.py", "")
    write(f"{folder}/pack/inner.py", f"WORD = 'package of {folder}'")
    write(f"{folder}/space/inner.py", f"WORD = 'namespace of {folder}'")
before = "import beside, space.inner\\nfrom pack import inner"
loaded = [flow(f"{folder}/flow.py", "beside.WORD, inner.WORD, space.inner.WORD", before) for folder in ("a", "b")]
loaded.append(flow("a/again.py", "beside.WORD, inner.WORD, space.inner.WORD", before))
for workflow in loaded:
    print(*first(workflow)(), sep=", ")
"""
    of_a, of_b, again = told(tmp_path, program)
    assert of_a == again == "module of a, package of a, namespace of a"
    assert of_b == "module of b, package of b, namespace of b"


def test_modules_that_lie_beside_no_file_are_left_alone(tmp_path: Path) -> None:
    """The standard library, durum itself, and a neighbour the other folder does not have."""
    program = """
import json
write("a/only.py", "WORD = 'only'")
flow("a/flow.py", "1", "import only")
import only
kept = sys.modules["durum"], sys.modules["only"], sys.modules["json"]
write("b/durum_notes.py", "")
flow("b/flow.py", "1")
print((sys.modules["durum"], sys.modules["only"], sys.modules["json"]) == kept, sys.modules["only"] is only)
"""
    assert told(tmp_path, program) == ["True True"]


def test_two_files_of_the_same_name_are_two_modules(tmp_path: Path) -> None:
    """Their classes are found where they say they are, and neither overwrites the other."""
    program = """
before = "class Thing: where = {!r}"
loaded = [flow(f"{folder}/flow.py", repr(folder), before.format(folder), f"flow_{folder}") for folder in ("a", "b")]
print([first(workflow)() for workflow in loaded], [workflow.name for workflow in loaded])
names = [first(workflow).__module__ for workflow in loaded]
print(len(set(names)), [sys.modules[name].Thing.where for name in names], names[0].startswith("durum_target_flow_"))
"""
    assert told(tmp_path, program) == ["['a', 'b'] ['flow_a', 'flow_b']", "2 ['a', 'b'] True"]


def test_a_file_is_executed_anew_each_time(tmp_path: Path) -> None:
    """What one run left in its variables is not there for the next; what it imports is loaded once, as ever."""
    program = """
write("beside.py", "LOADS = []")
result = "SEEN.append(1) or beside.LOADS.append(1) or (len(SEEN), len(beside.LOADS))"
once = flow("flow.py", result, "SEEN = []\\nimport beside")
print(first(once)(), first(once)())
print(first(load_target("flow.py"))(), first(once)())
"""
    assert told(tmp_path, program) == ["(1, 1) (2, 2)", "(1, 3) (3, 4)"]


def test_a_file_changed_within_a_second_is_seen_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    """Python's cache of compiled files would be looked up by the whole second and the size."""
    program = """
for value in (1, 2, 3):
    print(first(flow("flow.py", str(value)))())
print(sorted(path.name for path in Path().iterdir()))
"""
    assert told(tmp_path, program) == ["1", "2", "3", "['flow.py']"]


def test_a_file_that_failed_leaves_the_one_loaded_before(tmp_path: Path) -> None:
    """A mistake in an edit does not take away the classes of a workflow that is still running."""
    program = """
from durum.errors import TargetError
loaded = flow("flow.py", "1", "class Thing: ...")
name = first(loaded).__module__
write("flow.py", "1 / 0")
try:
    load_target("flow.py")
except TargetError as error:
    print(error)
print(hasattr(sys.modules[name], "Thing"))
"""
    assert told(tmp_path, program) == [
        "cannot load flow.py: it raises ZeroDivisionError: division by zero in line 1",
        "True",
    ]


def test_a_module_has_the_same_name_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text hashes differ between processes; a traceback or log that shows the module should not."""
    names = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        names += told(tmp_path, "print(first(flow('flow.py', '1')).__module__)")
    assert names[0] == names[1]
    assert names[0].startswith("durum_target_flow_")
