"""1,000 runs of 10 states each, side by side in one process, against LangGraph on AsyncSqliteSaver.

    python -m bench.many_langgraph [--quick]

Theirs is ``peers/langgraph_many.py``.
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
    with asking("langgraph", "langgraph_many", str(runs)) as peer:
        took = in_turn(
            rounds,
            {
                OURS: lambda folder: many(folder, plan, runs),
                "LangGraph AsyncSqliteSaver": peer,
            },
        )
    return compared(f"{runs:,} runs x {states} states in one process", took, runs * states, at_least(10, 40))


if __name__ == "__main__":
    report(measure, __doc__)
