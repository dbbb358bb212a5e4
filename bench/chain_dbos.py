"""One run of 1,000 states in a row, 1 KiB of context, against DBOS on SQLite (``peers/dbos_chain.py``).

    python -m bench.chain_dbos [--quick]

Ours: a whole ``start`` in an open store. Theirs: a whole call of the workflow, DBOS launched; as it comes, and on a file that
was set to WAL for it.
"""

from __future__ import annotations

from bench.against import OURS, asking, compared
from bench.driving import started
from bench.figures import Figure, at_least, report
from bench.plans import CONTEXT, PassAlong, sequence
from bench.rounds import in_turn


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    states, rounds = (50, 1) if quick else (1000, 5)
    plan = sequence("chain", states, PassAlong)
    with (
        asking("dbos", "dbos_chain", str(states), "rollback") as plain,
        asking("dbos", "dbos_chain", str(states), "wal") as wal,
    ):
        took = in_turn(
            rounds,
            {
                OURS: lambda folder: started(folder, plan, CONTEXT),
                "DBOS": plain,
                "DBOS set to WAL": wal,
            },
        )
    return compared(f"one run, {states:,} states in a row, 1 KiB context", took, states, at_least(6, 9))


if __name__ == "__main__":
    report(measure, __doc__)
