"""A run of 2,000 states each of which writes a new 1 KiB key: the last 200 states against the first 200.

python -m bench.new_keys [--quick]
"""

from __future__ import annotations

from bench.ends import ends, times
from bench.figures import Figure, at_most, ratio, report
from bench.plans import NewKey


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    states, edge, rounds = (60, 10, 1) if quick else (2000, 200, 5)
    found = ends("keys", NewKey, states, edge, rounds)
    name = f"each state writes a new key, {states:,} states: last {edge} against first {edge}"
    time, size = times(found), ratio([one.last_bytes for one in found], [one.first_bytes for one in found])
    return [
        Figure(f"{name}, time", time, at_most(1.5, 1.2), note=found[0].micros_note()),
        Figure(f"{name}, bytes", size, at_most(1.5, 1.2), note=found[0].bytes_note()),
    ]


if __name__ == "__main__":
    report(measure, __doc__)
