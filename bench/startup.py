"""What a first run costs above bare Python: ``import durum``, ``durum --help``, a whole three-state run in a new store.

    python -m bench.startup [--quick]

Each figure is of whole processes, run in turn, less the median of ``python -c pass`` in the same rounds. Every module has its
byte code by then, as in a package that was installed: each command is run once before, and may write it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from bench.figures import Figure, at_most, report, spread
from bench.rounds import Took, clocks, in_turn

if TYPE_CHECKING:
    from pathlib import Path

FLOW = """
from durum import Workflow

flow = Workflow("three")


@flow.step
def one() -> int:
    return 1


@flow.step
def two(one: int) -> int:
    return one + 1


@flow.step
def three(two: int) -> int:
    return two + 1
"""
BARE = "python -c pass"
LIBRARIES = "import msgspec, asyncio, sqlite3"
COMMANDS = {
    BARE: ["-c", "pass"],
    LIBRARIES: ["-c", LIBRARIES],
    "import durum": ["-c", "import durum"],
    "durum --help": ["-m", "durum", "--help"],
    "first 3-state run in a new process": ["-m", "durum", "run", "three.py", "--json", "--store", "sqlite:///three.db"],
}
BOUNDS = {
    "import durum": at_most(120, 60),
    "durum --help": at_most(250, 150),
    "first 3-state run in a new process": at_most(350, 200),
}


def process(command: list[str], folder: Path) -> Took:
    """Run a Python process in a folder with a workflow; return how long it took."""
    (folder / "three.py").write_text(FLOW, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begun = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=folder, env=environment)
    return Took(time.perf_counter() - begun, 0.0)


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    works = {name: partial(process, command) for name, command in COMMANDS.items()}
    in_turn(1, works)
    took = in_turn(1 if quick else 15, works)
    bare = statistics.median(clocks(took[BARE]))
    above = {name: spread([(seconds - bare) * 1000 for seconds in clocks(rounds)]) for name, rounds in took.items()}
    note = f"{BARE}: {bare * 1000:.0f} ms; {LIBRARIES}: {above[LIBRARIES].median:.0f} ms above it"
    return [Figure(f"above bare Python: {name}", above[name], bounds, "ms", note) for name, bounds in BOUNDS.items()]


if __name__ == "__main__":
    report(measure, __doc__)
