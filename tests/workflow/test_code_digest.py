"""A step's digest changes with the code and the data it uses, and with nothing else."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import textwrap
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from durum import Workflow
from durum.app.targets import load_target
from durum.workflow.code_digest import code_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

numbers = count()

BEFORE = """
import re
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from functools import cache, partial, wraps
from pathlib import Path

LIMIT = 3
UNUSED = 4
WORDS = {"a", "b", "c"}
RULES = {"x": [re.compile("a+"), Path("p"), timedelta(seconds=1), {1, 2}], "y": Decimal("1.0")}
NESTED = (frozenset({"q"}), b"raw", float("inf"))


class Colour(Enum):
    RED = 1


class Settings:
    size = 5

    def scaled(self):
        return self.size * factor()


def factor():
    return 2


def helper(value):
    return deeper(value)


def deeper(value):
    return value + LIMIT


@cache
def cached(value):
    return value * 10


def unused(value):
    return value


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def traced(function):
    @wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner


def make(n):
    def inner(value):
        return value + n
    return inner


add_one, add_two = make(1), make(2)
def outer(by):
    def by_default(value, by=by):
        return value * by
    return by_default


by_default = outer(5)
double = lambda value: value * 2
default = 7


def commits(repo):
    return repo


def step(commits, size=LIMIT):
    found = helper(commits) + cached(size)
    return found


def uses_class(commits):
    return Settings().scaled()


def uses_data(commits):
    return WORDS, RULES, NESTED, Colour.RED


def uses_made(commits):
    return add_one(commits) - add_two(commits)


def uses_lambda(commits):
    return double(commits)


def uses_itself(commits):
    return even(commits)


@traced
def decorated(commits):
    return LIMIT


def bound(commits, by=default):
    return commits + by


filled = partial(bound, by=1)
as_lambda = lambda commits: commits + LIMIT
"""

CHANGES = [
    ("LIMIT = 3", "LIMIT = 4", {"step", "decorated", "as_lambda"}),
    ("LIMIT = 3", "LIMIT = 3.0", {"step", "decorated", "as_lambda"}),
    ("UNUSED = 4", "UNUSED = 5", set()),
    ('"a", "b", "c"}', '"c", "b", "a"}', set()),
    ('"a", "b", "c"}', '"a", "b", "d"}', {"uses_data"}),
    ('re.compile("a+")', 're.compile("a+", re.I)', {"uses_data"}),
    ('Path("p")', 'Path("q")', {"uses_data"}),
    ("timedelta(seconds=1)", "timedelta(seconds=2)", {"uses_data"}),
    ("{1, 2}", "{2, 1}", set()),
    ("{1, 2}", "{2, 3}", {"uses_data"}),
    ('Decimal("1.0")', 'Decimal("1.00")', {"uses_data"}),
    ('b"raw"', '"raw"', {"uses_data"}),
    ('float("inf")', '-float("inf")', {"uses_data"}),
    ("RED = 1", "RED = 2", {"uses_data"}),
    ("size = 5", "size = 6", {"uses_class"}),
    ("self.size * factor()", "factor()", {"uses_class"}),
    ("return 2", "return 3", {"uses_class"}),
    ("class Settings:", 'class Settings:\n    """Doc."""', set()),
    ("class Settings:", "class Settings(dict):", {"uses_class"}),
    ("return deeper(value)", "return deeper(value) + 1", {"step"}),
    ("return value + LIMIT", "return value - LIMIT", {"step"}),
    ("return value * 10", "return value * 11", {"step"}),
    ("def unused(value):\n    return value", "def unused(value):\n    return 0", set()),
    ("n != 0 and even", "n == 1 or even", {"uses_itself"}),
    ("return value + n", "return value - n", {"uses_made"}),
    ("make(1), make(2)", "make(2), make(1)", {"uses_made"}),
    ("make(1), make(2)", "make(1), make(3)", {"uses_made"}),
    ("value * 2\ndefault", "value * 3\ndefault", {"uses_lambda"}),
    ("outer(5)", "outer(6)", {"by_default"}),
    ("default = 7", "default = 8", {"bound", "filled"}),
    ("partial(bound, by=1)", "partial(bound, by=2)", {"filled"}),
    ("def commits(repo):\n    return repo", "def commits(repo):\n    return repo + 1", {"commits"}),
    ("@traced\ndef", "def", set()),
    ("@traced\ndef", "@traced\n@cache\ndef", set()),
    ("return function(*args", "return None or function(*args", set()),
    ("found = helper(commits) + cached(size)\n    return found", "a = helper(commits) + cached(size)\n    return a", set()),
    ("def step(commits, size=LIMIT):", 'def step(commits, size=LIMIT):\n    """Doc."""\n    # why', set()),
    ("def step(commits, size=LIMIT):", "\n\n\n\ndef step(\n    commits,\n    size=LIMIT,\n):", set()),
    ("def step(commits, size=LIMIT):", "def step(commits, *, size=LIMIT):", {"step"}),
    ("lambda commits: commits + LIMIT", "lambda  commits : (commits + LIMIT)  # why", set()),
    ("lambda commits: commits + LIMIT", "lambda commits: commits - LIMIT", {"as_lambda"}),
]
STEPS = (
    "commits",
    "step",
    "uses_class",
    "uses_data",
    "uses_made",
    "uses_lambda",
    "uses_itself",
    "decorated",
    "bound",
    "by_default",
    "filled",
    "as_lambda",
)


def digests(folder: Path, source: str) -> dict[str, str | None]:
    """Return the digest of each step of a file, loaded as a target is."""
    file = folder / f"flow{next(numbers)}.py"
    declared = "\n".join(f"flow.step(name={name!r})({name})" for name in STEPS)
    file.write_text(f"from durum import Workflow\n{source}\nflow = Workflow('flow')\n{declared}\n", encoding="utf-8")
    steps = load_target(str(file))._steps
    return {name: code_digest(step.function) for name, step in steps.items()}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """The digests of the file as it was."""
    found = digests(tmp_path_factory.mktemp("before"), BEFORE)
    assert None not in found.values()
    return found


@pytest.mark.parametrize(("old", "new", "changed"), CHANGES)
def test_a_change_is_seen_by_the_steps_it_concerns(
    tmp_path: Path, before: dict[str, str | None], old: str, new: str, changed: set[str]
) -> None:
    """Through helpers, caches, closures, classes, lambdas, defaults and constants; by no other step, in no other place."""
    assert BEFORE.count(old) == 1, "the change must be the only one of its kind"
    after = digests(tmp_path, BEFORE.replace(old, new))
    assert {name for name in STEPS if after[name] != before[name]} == changed


def test_digests_do_not_depend_on_the_file_or_the_process(tmp_path: Path, before: dict[str, str | None]) -> None:
    """Neither path nor module name nor the values of other digests are in them."""
    (tmp_path / "elsewhere").mkdir()
    assert digests(tmp_path / "elsewhere", BEFORE) == before


def test_digests_are_the_same_in_every_process(tmp_path: Path, before: dict[str, str | None]) -> None:
    """Sets iterate in an order of their own in each, and objects lie elsewhere."""
    (tmp_path / "flow.py").write_text(BEFORE, encoding="utf-8")
    program = "import json, flow; from durum.workflow.code_digest import code_digest as of; "
    program += f"print(json.dumps([of(getattr(flow, name)) for name in {STEPS}]))"
    for seed in ("1", "2", "3"):
        settings = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=settings, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert json.loads(done.stdout) == [before[name] for name in STEPS]


def test_the_digest_is_in_the_plan(tmp_path: Path) -> None:
    """And follows the file as it is loaded again."""
    file = tmp_path / "flow.py"
    text = "from durum import Workflow\nflow = Workflow('flow')\n@flow.step\ndef one() -> int:\n    return {}\n"
    found = []
    for value in (1, 2, 1):
        file.write_text(text.format(value), encoding="utf-8")
        found.append(load_target(str(file)).plan().shape.nodes[0].digest)
    assert found[0] == found[2] != found[1]


def test_functions_without_source_have_no_digest() -> None:
    """Builtins, code made from text, callable objects."""
    made: dict[str, Any] = {}
    exec("def made(): return 1", made)  # noqa: S102 - a function without a file is what this is about
    for function in (len, made["made"], functools.partial(len), str.upper, 3):
        assert code_digest(function) is None  # type: ignore[arg-type]
    flow = Workflow("flow")
    flow.step(made["made"])
    assert flow.plan().shape.nodes[0].digest is None


def outer(unfilled: bool) -> Callable[[], object]:  # noqa: FBT001 - chooses the closure
    """Return a function that closes over what may not be there yet."""

    def inner() -> object:
        return late

    if unfilled:
        return inner
    late = 3
    return inner


def test_a_closure_that_is_not_filled_yet_is_left_out() -> None:
    """It is no reason to fail."""
    assert code_digest(outer(unfilled=True)) != code_digest(outer(unfilled=False))


def test_a_constant_that_holds_itself_or_anything_else_is_left_out(tmp_path: Path) -> None:
    """Objects have no text that is the same in every process; data that holds some keeps what it can."""
    source = """
        from durum import Workflow
        class Client: ...
        CLIENT = Client()
        LOOP = []
        LOOP.append(LOOP)
        TABLE = {"a": object(), "b": VALUE}
        flow = Workflow("flow")
        @flow.step
        def one() -> int:
            return len([CLIENT, LOOP, TABLE])
    """
    found: list[str | None] = []
    for value in (1, 2, 1):
        file = tmp_path / f"flow{len(found)}.py"
        file.write_text(textwrap.dedent(source).replace("VALUE", str(value)), encoding="utf-8")
        found.append(load_target(str(file)).plan().shape.nodes[0].digest)
    assert found[0] == found[2] != found[1]
