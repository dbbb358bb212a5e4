"""1,000 runs of 10 states each, 1 KiB of context, side by side in one process, against one run of as many states.

    python -m bench.many [--quick]

Seconds from the first start to the last end, in one event loop over one store.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bench.driving import drive_many
from bench.figures import Figure, ratio, report
from bench.plans import PassAlong, context, sequence
from bench.rounds import Took, clocks, in_turn, rates_note, timed
from durum.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

    import durum


def many(folder: Path, plan: durum.ExecutionPlan, runs: int) -> Took:
    """Drive runs side by side in a new store; return what that took."""

    async def drive() -> None:
        store = SqliteStore(folder / "runs.db")
        try:
            await drive_many(store, plan, [context(run) for run in range(runs)])
        finally:
            await store.close()

    return timed(lambda: asyncio.run(drive()))


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    runs, states, rounds = (20, 10, 1) if quick else (1000, 10, 3)
    short, long = sequence("many", states, PassAlong), sequence("one", runs * states, PassAlong)
    took = in_turn(
        rounds,
        {
            "many": lambda folder: many(folder, short, runs),
            "one": lambda folder: many(folder, long, 1),
        },
    )
    name = f"{runs:,} runs x {states} states in one process: speed of a state against one run of {runs * states:,}"
    return [Figure(name, ratio(clocks(took["one"]), clocks(took["many"])), note=rates_note(took, runs * states))]


if __name__ == "__main__":
    report(measure, __doc__)
