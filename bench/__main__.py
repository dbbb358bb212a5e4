"""Run the rows of the table, each in a process of its own, and write the table into bench/README.md and docs/performance.md.

    python -m bench [--quick] [ROW ...]

Without ROW all of them. ``--quick`` asks whether the scripts run, leaves out the peers that are not named and writes nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import NamedTuple

from bench.figures import Figure, NotMeasuredError, from_json, lines
from bench.machine import machine
from bench.table import PAGES, written

PEERS = ("langgraph", "dbos")
ROWS = (
    "chain",
    "chain_langgraph",
    "chain_dbos",
    "many",
    "many_langgraph",
    "many_dbos",
    "fan_out",
    "fan_out_langgraph",
    "fan_out_dbos",
    "new_keys",
    "append_key",
    "untouched",
    "resume",
    "replay",
    "startup",
    "memory",
    "weaker",
    "each",
    "growth",
)


class Measured(NamedTuple):
    """What came of a row."""

    row: str
    figures: list[Figure]
    why_not: str  # empty: it was measured


def main() -> int:
    """Run what was asked for; exit 1 if a row could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"any of {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="small and few rounds: whether they run, not how fast")
    options = parser.parse_args()
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        parser.error(f"{unknown[0]!r} is no row; there are {', '.join(ROWS)}")
    rows = options.rows or [row for row in ROWS if not (options.quick and row.endswith(PEERS))]
    where = machine()  # before the first row, of which one draws a plot into the project
    measured = [_measured(row, quick=options.quick) for row in rows]
    if not options.quick and not options.rows:
        _write(where, measured)
    return 1 if any(one.why_not for one in measured) else 0


def _write(where: str, measured: list[Measured]) -> None:
    for path, table in PAGES.items():
        path.write_text(written(path.read_text(encoding="utf-8"), where, table(measured)), encoding="utf-8")
        print(f"written to {path}")


def _measured(row: str, *, quick: bool) -> Measured:
    print(f"== {row}", flush=True)
    begun = time.monotonic()
    command = [sys.executable, "-m", f"bench.{row}", "--json", *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    failed = f"its script ended with exit code {done.returncode}"
    found = Measured(row, [], failed) if done.returncode else _read(row, done.stdout)
    for line in [f"not measured: {found.why_not}"] if found.why_not else lines(found.figures):
        print(line)
    print(f"   took {time.monotonic() - begun:.0f} s", flush=True)
    return found


def _read(row: str, said: str) -> Measured:
    try:
        return Measured(row, from_json(said), "")
    except NotMeasuredError as reason:
        return Measured(row, [], str(reason))


if __name__ == "__main__":
    sys.exit(main())
