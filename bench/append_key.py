"""A run of 2,000 states each of which adds a 1 KiB message to a declared append key that no state reads.

    python -m bench.append_key [--quick]

The store after a checkpoint, all its files, against the bytes of the messages; and the last 200 states against the first 200.
"""

from __future__ import annotations

from bench.ends import ends, times
from bench.figures import Figure, at_most, report, spread
from bench.plans import AppendItem, message


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    states, edge, rounds = (60, 10, 1) if quick else (2000, 200, 5)
    found = ends("messages", AppendItem, states, edge, rounds)
    messages = states * len(message(0))
    name = f"an append key, one 1 KiB message a state, {states:,} states"
    size = spread([one.store_bytes / messages for one in found])
    kept = f"{found[0].store_bytes / 1e6:.1f} MB for {messages / 1e6:.1f} MB of messages; {found[0].bytes_note()}"
    return [
        Figure(f"{name}: store against messages", size, at_most(6, 3), note=kept),
        Figure(f"{name}: last {edge} against first {edge}, time", times(found), at_most(1.5, 1.1), note=found[0].micros_note()),
    ]


if __name__ == "__main__":
    report(measure, __doc__)
