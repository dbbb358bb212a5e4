"""One run of 1,000 states in a row, 1 KiB of context, against LangGraph on SqliteSaver (``peers/langgraph_chain.py``).

    python -m bench.chain_langgraph [--quick]

Ours: a whole ``start`` in an open store. Theirs: a whole ``invoke`` over an open saver.
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
    with asking("langgraph", "langgraph_chain", str(states)) as peer:
        took = in_turn(
            rounds,
            {
                OURS: lambda folder: started(folder, plan, CONTEXT),
                "LangGraph SqliteSaver": peer,
            },
        )
    return compared(f"one run, {states:,} states in a row, 1 KiB context", took, states, at_least(2.5, 4))


if __name__ == "__main__":
    report(measure, __doc__)
