"""The weaker durability: one run of 1,000 states in a row, 1 KiB of context, with ``durability=normal`` against ``full``.

    python -m bench.weaker [--quick]

Whole ``start`` calls in open stores. docs/performance.md says what it can lose.
"""

from __future__ import annotations

from bench.driving import started
from bench.figures import Figure, ratio, report
from bench.plans import CONTEXT, PassAlong, sequence
from bench.rounds import clocks, in_turn, rates_note


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    states, rounds = (50, 1) if quick else (1000, 7)
    plan = sequence("weaker", states, PassAlong)
    took = in_turn(
        rounds,
        {
            "full": lambda folder: started(folder, plan, CONTEXT),
            "normal": lambda folder: started(folder, plan, CONTEXT, "?durability=normal"),
        },
    )
    name = f"one run, {states:,} states in a row: durability=normal against full"
    return [Figure(name, ratio(clocks(took["full"]), clocks(took["normal"])), note=rates_note(took, states))]


if __name__ == "__main__":
    report(measure, __doc__)
