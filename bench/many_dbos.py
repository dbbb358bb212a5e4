"""1,000 runs of 10 states each, side by side in one process, against DBOS on SQLite (``peers/dbos_many.py``).

    python -m bench.many_dbos [--quick]

DBOS as it comes, and on a file that was set to WAL for it.
"""

from __future__ import annotations

from bench.against import OURS, asking, compared
from bench.figures import Figure, at_least, report
from bench.many import many
from bench.plans import PassAlong, sequence
from bench.rounds import in_turn


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    runs, states, rounds = (20, 10, 1) if quick else (1000, 10, 3)
    plan = sequence("many", states, PassAlong)
    with asking("dbos", "dbos_many", str(runs), "rollback") as plain, asking("dbos", "dbos_many", str(runs), "wal") as wal:
        took = in_turn(
            rounds,
            {
                OURS: lambda folder: many(folder, plan, runs),
                "DBOS": plain,
                "DBOS set to WAL": wal,
            },
        )
    return compared(f"{runs:,} runs x {states} states in one process", took, runs * states, at_least(15, 60))


if __name__ == "__main__":
    report(measure, __doc__)
