"""One run of 1,000 states in a row, 1 KiB of context, against the same rows, bytes and SQL committed bare.

    python -m bench.chain [--quick]

The commits are kept as the engine makes them and made again, commit for commit, on the same disk, round by round in turn; both
stores hold the same rows at the end. From the first commit to the last; plain ``def`` steps, and below ``async def`` ones.
"""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commits import between, replay_bare, stored
from bench.driving import drive_recorded
from bench.figures import Bounds, Figure, at_least, ratio, report
from bench.plans import CONTEXT, PassAlong, PassAlongAsync, sequence
from bench.rounds import Took, clocks, rates_note

if TYPE_CHECKING:
    import durum


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    states, rounds = (50, 1) if quick else (1000, 9)
    name = f"one run, {states:,} states in a row, 1 KiB context: of the same rows, bytes and SQL bare"
    return [
        _against_bare(name, sequence("chain", states, PassAlong), rounds, at_least(0.70, 0.85)),
        _against_bare(f"{name}, async def steps", sequence("chain", states, PassAlongAsync), rounds, None),
    ]


def _against_bare(name: str, plan: durum.ExecutionPlan, rounds: int, bounds: Bounds | None) -> Figure:
    states = len(plan.states)
    took: dict[str, list[Took]] = {"engine": [], "bare": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="durum-bench-") as folder:
            path, bare = Path(folder, "runs.db"), Path(folder, "bare.db")
            gc.collect()  # what the rounds before left behind
            commits = drive_recorded(path, plan, CONTEXT)
            took["engine"].append(between(commits[0], commits[-1]))
            took["bare"].append(replay_bare(commits, bare))
            assert stored(path) == stored(bare), "the bare store does not hold the same rows"
    each = f"{len(commits) / states:.3f} commits and {sum(commit.size for commit in commits) / states:,.0f} bytes a state"
    value = ratio(clocks(took["bare"]), clocks(took["engine"]))
    return Figure(name, value, bounds, note=f"{rates_note(took, states)}; {each}")


if __name__ == "__main__":
    report(measure, __doc__)
