"""The project's one task runner: `python3 tools/tasks.py check|test|fix|lint|types|imports|lines|lock`.

Needs nothing installed: what a task needs is set up first (scripts/setup.sh).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # run as a file: the folder that holds `tools`, not `tools`

from tools import house, suite
from tools.project import CODE, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDED = ("hatchling", "httpx", "hypothesis", "importlinter", "msgspec", "mypy", "packaging", "pytest", "ruff", "xdist")


class Step(NamedTuple):
    """One thing to check; `run` returns its exit code and what it has to say."""

    name: str
    run: Callable[[], tuple[int, str]]


def main() -> int:
    """Run one task; its arguments follow its name."""
    parser = argparse.ArgumentParser(description="The project's task runner.", epilog=f"Tasks: {', '.join(TASKS)}.")
    parser.add_argument("task", choices=TASKS, help="check is what CI runs before the tests")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="passed on: to pytest by test, to uv by lock")
    given = parser.parse_args()
    if given.task != "lines":
        move_into_environment()
    code: int = TASKS[given.task](given.args)
    return code


def move_into_environment() -> None:
    """Start over in the project's environment when this Python lacks a tool."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not missing:
        return
    if os.environ.get("DURUM_TASKS_MOVED"):
        sys.exit(f"tasks: the environment lacks {', '.join(missing)}; remove {sys.prefix} and try again")
    setup = subprocess.run([str(ROOT / "scripts" / "setup.sh")], stdout=subprocess.PIPE, text=True, check=False)
    if setup.returncode:
        sys.exit(setup.returncode)
    python = setup.stdout.strip()
    os.execve(python, [python, __file__, *sys.argv[1:]], os.environ | {"DURUM_TASKS_MOVED": "1"})  # noqa: S606 - no shell


def check(steps: list[Step]) -> int:
    """Run every step, show what the failed ones say, end with a table."""
    rows, failed = [], 0
    for step in steps:
        begun = time.monotonic()
        code, said = step.run()
        failed += code != 0
        if code:
            print(f"== {step.name}\n{said.strip()}\n", flush=True)
        rows.append(f"{step.name:<8} {'FAILED' if code else 'ok':<6} {time.monotonic() - begun:6.1f} s")
    print("\n".join(rows))
    print(f"check: {failed} of {len(steps)} failed" if failed else f"check: all {len(steps)} passed")
    return 1 if failed else 0


def tool(*command: str) -> Callable[[], tuple[int, str]]:
    """Make a step's action of a program."""

    def run() -> tuple[int, str]:
        settings = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        if not os.access(ROOT, os.W_OK):
            settings |= {"RUFF_NO_CACHE": "true", "MYPY_CACHE_DIR": os.devnull}
        done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def findings(rule: Callable[[Path], list[str]]) -> Callable[[], tuple[int, str]]:
    """Make a step's action of a rule that returns its findings."""

    def run() -> tuple[int, str]:
        found = rule(ROOT)
        return len(found), "\n".join(found)

    return run


def locked(root: Path) -> list[str]:
    """Compare the lock with pyproject.toml."""
    from tools import lock  # noqa: PLC0415 - it imports packaging, which a bare Python lacks

    return lock.problems(root)


def fix() -> int:
    """Repair what ruff can."""
    ruff = [sys.executable, "-m", "ruff"]
    fixed = subprocess.run([*ruff, "check", "--fix", *folders()], cwd=ROOT, check=False).returncode
    return subprocess.run([*ruff, "format", *folders()], cwd=ROOT, check=False).returncode or fixed


def make_lock(args: list[str]) -> int:
    """Make requirements.lock anew."""
    from tools import lock  # noqa: PLC0415 - as above

    return lock.make(ROOT, *args)


def folders() -> list[str]:
    """Return the folders of code that are here."""
    return [folder for folder in CODE if (ROOT / folder).is_dir()]


def lint() -> list[Step]:
    """Return the steps that ruff does."""
    ruff = (sys.executable, "-m", "ruff")
    return [
        Step("format", tool(*ruff, "format", "--check", *folders())),
        Step("lint", tool(*ruff, "check", "--output-format=concise", *folders())),
    ]


def types() -> list[Step]:
    """Return the step that mypy does."""
    return [Step("types", tool(sys.executable, "-m", "mypy", *folders()))]


def imports() -> list[Step]:
    """Return the step that import-linter does."""
    start = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    kept = [] if os.access(ROOT, os.W_OK) else ["--no-cache"]
    return [Step("imports", tool(sys.executable, "-c", start, "--no-logo", *kept))]


def lines() -> list[Step]:
    """Return the step that needs no tool."""
    return [Step("lines", findings(house.problems))]


def everything() -> list[Step]:
    """Return all steps."""
    return [*lint(), *types(), *imports(), *lines(), Step("lock", findings(locked))]


TASKS: dict[str, Callable[[list[str]], int]] = {
    "check": lambda _: check(everything()),
    "test": suite.main,
    "fix": lambda _: fix(),
    "lint": lambda _: check(lint()),
    "types": lambda _: check(types()),
    "imports": lambda _: check(imports()),
    "lines": lambda _: check(lines()),
    "lock": make_lock,
}

if __name__ == "__main__":
    sys.exit(main())
