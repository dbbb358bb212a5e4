"""What a first run costs: bare Python, ``import durum``, ``durum --help`` and a whole three-state run in a new store.

    python -m bench.startup [--rounds 9]

Each figure is the median of whole processes, run in turn, so that a slow moment of the machine meets all of them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        flow = Path(folder) / "three.py"
        flow.write_text(FLOW, encoding="utf-8")
        commands = {
            "python -c pass": ["-c", "pass"],
            "import msgspec, asyncio, sqlite3": ["-c", "import msgspec, asyncio, sqlite3"],
            "import durum": ["-c", "import durum"],
            "durum --help": ["-m", "durum", "--help"],
            "durum run, three states": ["-m", "durum", "run", str(flow), "--json"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for place in range(rounds):
            for name, command in commands.items():
                store = ["--store", f"sqlite:///{folder}/{place}.db"] if "run" in command else []
                begun = time.perf_counter()
                subprocess.run([sys.executable, *command, *store], check=True, capture_output=True, cwd=folder)
                seconds[name].append(time.perf_counter() - begun)
    for name, measured in seconds.items():
        print(f"{statistics.median(measured) * 1000:6.0f} ms   {name}")


if __name__ == "__main__":
    main()
