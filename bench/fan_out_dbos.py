"""Fan-out 1 -> 1,000 -> join with ``each=`` against gathered steps of DBOS on SQLite (``peers/dbos_fan_out.py``).

    python -m bench.fan_out_dbos [--quick]

DBOS as it comes, and on a file that was set to WAL for it.
"""

from __future__ import annotations

from bench.against import asking, compared
from bench.fan_out import each
from bench.figures import Figure, at_least, report
from bench.rounds import in_turn


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    count, rounds = (30, 1) if quick else (1000, 5)
    with (
        asking("dbos", "dbos_fan_out", str(count), "rollback") as plain,
        asking("dbos", "dbos_fan_out", str(count), "wal") as wal,
    ):
        took = in_turn(rounds, {**each(count), "DBOS": plain, "DBOS set to WAL": wal})
    return compared(f"fan-out 1 -> {count:,} -> join", took, count, at_least(25, 60))


if __name__ == "__main__":
    report(measure, __doc__)
