"""Run the test suite here and, when asked, under the other Pythons of this machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tools.project import ROOT

PYTHONS = ("3.11", "3.12", "3.13")
MAX_WORKERS = 8  # beyond it, starting workers costs more than it brings
EVERY = "--all-pythons"
SUMMARY = re.compile(r"\d+ (passed|failed|skipped|deselected|errors?|x?passed|xfailed)\b|no tests (ran|collected)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
TAIL = 8192  # the summary is in the last bytes


class Outcome(NamedTuple):
    """How the suite went under one Python."""

    python: str
    summary: str
    code: int


def main(args: list[str]) -> int:
    """Run the suite; arguments are pytest's, but for `--all-pythons`."""
    asked = os.environ.get("DURUM_TEST_PYTHONS", "").replace(",", " ").split()
    if EVERY in args:
        asked = [*asked, *PYTHONS]
    chosen = [arg for arg in map(from_here, args) if arg != EVERY]
    here = ".".join(platform.python_version_tuple()[:2])
    others = [version for version in dict.fromkeys(asked) if version != here]
    if not others:
        with tempfile.TemporaryDirectory() as spare:
            return subprocess.run(command(sys.executable, chosen), cwd=ROOT, env=settings(spare), check=False).returncode
    brief = chosen if "-m" in chosen else ["-m", "not slow", *chosen]  # once is enough for what takes long
    outcomes = [watched(sys.executable, platform.python_version(), chosen), *(under(version, brief) for version in others)]
    print("\n== the suite, by Python")
    for outcome in reversed(outcomes):
        print(f"Python {outcome.python}:\n{outcome.summary}")
    return next((outcome.code for outcome in outcomes if outcome.code), 0)


def under(version: str, args: list[str]) -> Outcome:
    """Run the suite under another Python, in an environment of its own; say so when there is none."""
    python = find(version)
    if python is None:
        print(f"\n== Python {version}: skipped, no working interpreter on PATH or among pyenv's versions", flush=True)
        return Outcome(version, "skipped: no working interpreter on PATH or among pyenv's versions", 0)
    setup = subprocess.run([python, "-I", str(ROOT / "scripts" / "setup.py")], stdout=subprocess.PIPE, text=True, check=False)
    if setup.returncode:
        return Outcome(version, "failed: its environment could not be set up", setup.returncode)
    return watched(setup.stdout.strip(), f"{version} ({python})", args)


def watched(python: str, label: str, args: list[str]) -> Outcome:
    """Run the suite, show its output as it comes and keep the summary line."""
    print(f"\n== Python {label}", flush=True)
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    tail = b""
    with (
        tempfile.TemporaryDirectory() as spare,
        subprocess.Popen(
            command(python, [*colour, *args]), cwd=ROOT, env=settings(spare), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as running,
    ):
        while running.stdout and (chunk := os.read(running.stdout.fileno(), TAIL)):
            sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
            tail = (tail + chunk)[-TAIL:]
    lines = [line for line in COLOUR.sub("", tail.decode(errors="replace")).splitlines() if SUMMARY.search(line)]
    return Outcome(label, lines[-1] if lines else f"no summary (exit code {running.returncode})", running.returncode)


def find(version: str) -> str | None:
    """Return a Python of this version (as 3.12) that really runs: on PATH (a pyenv shim may not), or among pyenv's versions."""
    on_path = [Path(folder, f"python{version}") for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    roots = [Path(root, "versions") for root in (os.environ.get("PYENV_ROOT"), Path.home() / ".pyenv") if root]
    of_pyenv = [python for root in roots for python in sorted(root.glob(f"{version}*/bin/python"), key=release, reverse=True)]
    return next((str(python) for python in (*on_path, *of_pyenv) if os.access(python, os.X_OK) and runs(python, version)), None)


def runs(python: Path, version: str) -> bool:
    """Tell whether an interpreter starts, is of this version and has what we need of its standard library."""
    probe = f"import sqlite3, ssl, sys; sys.exit('%d.%d' % sys.version_info[:2] != {version!r})"
    return subprocess.run([str(python), "-I", "-c", probe], capture_output=True, check=False).returncode == 0


def release(python: Path) -> list[int]:
    """Return the sort key of a path in pyenv's versions: 3.12.10 is newer than 3.12.9."""
    return [int(number) for number in re.findall(r"\d+", python.parent.parent.name)]


def from_here(arg: str) -> str:
    """Make a test path that is given from the caller's folder absolute: pytest runs at the root."""
    path, colons, test = arg.partition("::")
    return f"{Path(path).absolute()}{colons}{test}" if not arg.startswith("-") and Path(path).exists() else arg


def command(python: str, args: list[str]) -> list[str]:
    """Return pytest's command line, over all cores unless the caller does without xdist."""
    spread = [] if "no:xdist" in args else ["-n", "auto"]
    cache = [] if kept(".pytest_cache") else ["-p", "no:cacheprovider"]
    return [python, "-m", "pytest", *spread, *cache, *args]


def settings(spare: str) -> dict[str, str]:
    """Return the environment of a run; what it cannot keep in the checkout goes to the spare folder."""
    workers = str(min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, MAX_WORKERS))
    given = {"PYTEST_XDIST_AUTO_NUM_WORKERS": workers} | os.environ
    return given if kept(".hypothesis") else given | {"HYPOTHESIS_STORAGE_DIRECTORY": spare}


def kept(name: str) -> bool:
    """Tell whether a folder of leftovers can be written in the checkout."""
    folder = ROOT / name
    return os.access(folder if folder.exists() else ROOT, os.W_OK | os.X_OK)
