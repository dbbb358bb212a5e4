"""States that change 100 bytes beside 1 MiB that none of them touches, against the same states beside 1 KiB.

    python -m bench.untouched [--quick]

Seconds from the first commit to the last; bytes of rows a state, those of the start not counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.commits import between
from bench.driving import drive_recorded
from bench.figures import Figure, at_least, at_most, ratio, report, spread
from bench.plans import SmallChange, sequence
from bench.rounds import Took, clocks, in_turn, rates_note

if TYPE_CHECKING:
    from pathlib import Path

LARGE, SMALL = "1 MiB", "1 KiB"


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    states, rounds = (30, 1) if quick else (1000, 7)
    plan = sequence("untouched", states, SmallChange)
    sizes: dict[int, float] = {}

    def run(folder: Path, count: int) -> Took:
        text = "".join(f"{place:07} " for place in range(count // 8))  # no two chunks of it alike
        commits = drive_recorded(folder / "runs.db", plan, {"large": text})
        sizes[count] = sum(commit.size for commit in commits[1:]) / states
        return between(commits[0], commits[-1])

    took = in_turn(rounds, {SMALL: lambda folder: run(folder, 1 << 10), LARGE: lambda folder: run(folder, 1 << 20)})
    name = f"1 MiB in an untouched key, 100 bytes changed a state, {states:,} states"
    value = ratio(clocks(took[SMALL]), clocks(took[LARGE]))
    return [
        Figure(f"{name}: speed against 1 KiB", value, at_least(0.6, 0.9), note=rates_note(took, states)),
        Figure(f"{name}: bytes a state", spread([sizes[1 << 20] / 1000]), at_most(4, 1.5), "KB"),
    ]


if __name__ == "__main__":
    report(measure, __doc__)
