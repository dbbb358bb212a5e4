"""Replay ``reproduce`` of a run of 1,000 states in a row, 1 KiB of context, against the live run.

    python -m bench.replay [--quick]

Live: a whole ``start``. Replay: a whole ``replay``, which verifies the record before every attempt is executed again.
"""

from __future__ import annotations

import tempfile
from functools import partial

import durum
from bench.figures import Figure, at_least, ratio, report
from bench.plans import CONTEXT, PassAlong, sequence
from bench.rounds import Took, clocks, rates_note, timed

RUN = "01993b10-7a3c-7d4e-9f00-5b1c2d3e4f50"


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    states, rounds = (50, 1) if quick else (1000, 7)
    plan = sequence("replayed", states, PassAlong)
    took: dict[str, list[Took]] = {"live": [], "replay": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="durum-bench-") as folder, durum.open(f"sqlite:///{folder}/runs.db") as store:
            took["live"].append(timed(partial(store.start, plan, CONTEXT, run_id=RUN)))
            took["replay"].append(timed(partial(_reproduce, store, plan)))
    value = ratio(clocks(took["live"]), clocks(took["replay"]))
    return [Figure(f"replay reproduce, {states:,} states, against live", value, at_least(3, 8), note=rates_note(took, states))]


def _reproduce(store: durum.Durum, plan: durum.ExecutionPlan) -> None:
    result = store.replay(RUN, "reproduce", plan)
    assert result.divergence is None, result


if __name__ == "__main__":
    report(measure, __doc__)
