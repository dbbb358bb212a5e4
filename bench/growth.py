"""What a state costs as work grows: time, bytes and memory of runs of 100 to 100,000 states, of stores of 1 to 10,000 runs.

    python -m bench.growth [--quick]

Every point is a process of its own with a new store. Runs are driven 100 at a time, so that what grows is the store. Memory a
state is the peak above that of a run of one state. Writes ``growth.svg`` beside this file, but not with ``--quick``.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.driving import drive_many
from bench.figures import Figure, report, spread
from bench.growth_plot import Chart, draw
from bench.peak import peak_bytes
from bench.plans import PassAlong, context, sequence
from durum.stores.sqlite import SqliteStore

POINT = "point"
STATES_A_RUN = 10
AT_ONCE = 100
PLOT = Path(__file__).with_name("growth.svg")


class Cost(NamedTuple):
    """What one state of a point took and left; ``WORDS`` says in which units."""

    clock: float
    processor: float
    stored: float
    memory: float


WORDS = (("time", "us"), ("processor time", "us"), ("stored", "bytes"), ("memory", "bytes"))


async def drive(path: Path, runs: int, states: int) -> None:
    """Drive runs, a hundred at a time."""
    store = SqliteStore(path)
    plan = sequence("growth", states, PassAlong)
    try:
        for begun in range(0, runs, AT_ONCE):
            await drive_many(store, plan, [context(run) for run in range(begun, min(begun + AT_ONCE, runs))])
    finally:
        await store.close()


def point(runs: int, states: int) -> None:
    """Be the process of one point: print its cost, memory not yet set against that of the smallest."""
    with tempfile.TemporaryDirectory(prefix="durum-bench-") as folder:
        asyncio.run(drive(Path(folder, "first.db"), 1, 1))  # what is imported at first use is no cost of a state
        idle = peak_bytes()
        path, count = Path(folder, "runs.db"), runs * states
        clock, processor = time.perf_counter(), time.process_time()
        asyncio.run(drive(path, runs, states))
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        stored = path.stat().st_size
    cost = Cost(clock / count * 1e6, processor / count * 1e6, stored / count, (peak_bytes() - idle) / count)
    print(json.dumps(cost))


def cost_of(runs: int, states: int) -> Cost:
    """Return the cost of one point."""
    print(f"growth: {runs:,} runs of {states:,} states", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "bench.growth", POINT, str(runs), str(states)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
    return Cost(*json.loads(done.stdout))


def figures_of(what: str, costs: dict[int, Cost]) -> list[Figure]:
    """Return the figures of one series: its largest point against the one before, and every point as a note."""
    *_, less, most = costs
    figures = []
    for place, (title, unit) in enumerate(WORDS):
        note = ", ".join(f"{count:,}: {cost[place]:,.0f} {unit}" for count, cost in costs.items())
        change = spread([costs[most][place] / costs[less][place]])
        figures.append(Figure(f"{what} {most:,} against {less:,}, {title} a state", change, note=note))
    return figures


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures, and draw them."""
    states = {count: cost_of(1, count) for count in ((10, 100) if quick else (100, 1000, 10_000, 100_000))}
    runs = {count: cost_of(count, STATES_A_RUN) for count in ((1, 10) if quick else (1, 100, 10_000))}
    if not quick:
        PLOT.write_text(plot(states, runs), encoding="utf-8")
    return [*figures_of("states in one run:", states), *figures_of("runs in one store:", runs)]


def plot(states: dict[int, Cost], runs: dict[int, Cost]) -> str:
    """Return the drawing: a row for each measure, a column for each thing that grows."""
    columns = (("states in one run", states), (f"runs of {STATES_A_RUN} states in one store", runs))
    return draw(
        "Cost of a state as work grows",
        [
            [
                Chart(f"{title} a state, {unit}", along, {at: cost[place] for at, cost in costs.items()})
                for along, costs in columns
            ]
            for place, (title, unit) in enumerate(WORDS)
        ],
    )


if __name__ == "__main__":
    if sys.argv[1:2] == [POINT]:
        point(int(sys.argv[2]), int(sys.argv[3]))
    else:
        report(measure, __doc__)
