"""Peak memory of a process in which 1,000 runs of 10 states are under way at once, above that of a bare interpreter.

    python -m bench.memory [--quick]

In the middle of each run stands a state that waits until all runs have come to theirs, so all are alive at once. Each round is
a process of its own, which says its own peak (``VmHWM``, or ``ru_maxrss`` where there is none).
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.driving import drive_many
from bench.figures import Figure, at_most, report, spread
from bench.peak import peak_bytes
from bench.plans import PassAlong, context, sequence
from durum.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from durum.core.state import DynContext, EventRecorder, IoProvider, StateOutcome

RUNS = "runs"
STATES = 10


class Meet(PassAlong):
    """Waits until every run has come this far."""

    inline = False
    expected, here = 0, 0
    all_here = asyncio.Event()

    async def handle(self, ctx: DynContext, io: IoProvider, rec: EventRecorder) -> StateOutcome:
        """Wait for the others, then count on."""
        Meet.here += 1
        if Meet.here == Meet.expected:
            self.all_here.set()
        await self.all_here.wait()
        return await super().handle(ctx, io, rec)


async def drive(runs: int, path: Path) -> None:
    """Drive runs that are all alive at once."""
    Meet.expected = runs
    plan = sequence("memory", STATES, lambda place: (Meet if place == STATES // 2 else PassAlong)(place))
    store = SqliteStore(path)
    try:
        await drive_many(store, plan, [context(run) for run in range(runs)])
    finally:
        await store.close()


def peak_of(*arguments: str) -> int:
    """Return the peak of a process of its own."""
    done = subprocess.run([sys.executable, "-m", *arguments], check=True, capture_output=True, text=True)
    return int(done.stdout)


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    runs, rounds = (20, 1) if quick else (1000, 3)
    peaks: dict[int, list[float]] = {0: [], 1: [], runs: []}
    for place in range(rounds):
        peaks[0].append(peak_of("bench.peak"))
        for count in (1, runs):
            with tempfile.TemporaryDirectory(prefix="durum-bench-") as folder:
                peaks[count].append(peak_of("bench.memory", RUNS, str(count), str(Path(folder, f"{place}.db"))))
    bare, one, many = (statistics.median(values) / 1e6 for values in peaks.values())
    above = spread([(peak - idle) / 1e6 for peak, idle in zip(peaks[runs], peaks[0], strict=True)])
    each = (many - one) / (runs - 1) * 1000
    note = f"one run {one - bare:.1f} MB, each further one {each:.0f} KB; bare interpreter {bare:.1f} MB"
    return [Figure(f"peak memory, {runs:,} concurrent runs", above, at_most(80, 50), "MB", note)]


if __name__ == "__main__":
    if sys.argv[1:2] == [RUNS]:
        asyncio.run(drive(int(sys.argv[2]), Path(sys.argv[3])))
        print(peak_bytes())
    else:
        report(measure, __doc__)
