"""Fan-out 1 -> 1,000 -> join with ``each=`` against LangGraph's ``Send`` on SqliteSaver (``peers/langgraph_fan_out.py``).

python -m bench.fan_out_langgraph [--quick]
"""

from __future__ import annotations

from bench.against import asking, compared
from bench.fan_out import each
from bench.figures import Figure, at_least, report
from bench.rounds import in_turn


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    count, rounds = (30, 1) if quick else (1000, 7)
    with asking("langgraph", "langgraph_fan_out", str(count)) as peer:
        took = in_turn(rounds, {**each(count), "LangGraph SqliteSaver": peer})
    return compared(f"fan-out 1 -> {count:,} -> join", took, count, at_least(5, 15))


if __name__ == "__main__":
    report(measure, __doc__)
