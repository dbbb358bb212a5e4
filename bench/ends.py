"""The first and the last states of a long run beside each other: whether a state costs more the more there were before it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.driving import drive_recorded
from bench.figures import Value, ratio
from bench.plans import sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import durum


class Ends(NamedTuple):
    """Seconds and bytes a state over the first and the last states of one run, and the bytes of its store at the end."""

    first: float
    last: float
    first_processor: float
    last_processor: float
    first_bytes: float
    last_bytes: float
    store_bytes: int

    def micros_note(self) -> str:
        """Say what a state took."""
        return (
            f"us a state: {self.first * 1e6:.0f} and {self.last * 1e6:.0f}, "
            f"of the processor {self.first_processor * 1e6:.0f} and {self.last_processor * 1e6:.0f}"
        )

    def bytes_note(self) -> str:
        """Say what a state stored."""
        return f"bytes a state: {self.first_bytes:,.0f} and {self.last_bytes:,.0f}"


def ends(name: str, make: Callable[[int], durum.State], states: int, edge: int, rounds: int) -> list[Ends]:
    """Run states in a row in a new store, a few times; return what its ends cost in each round."""
    plan = sequence(name, states, make)
    return [_ends(plan, edge) for _ in range(rounds)]


def times(found: Sequence[Ends]) -> Value:
    """Return the time of a late state over that of an early one."""
    return ratio([one.last for one in found], [one.first for one in found])


def _ends(plan: durum.ExecutionPlan, edge: int) -> Ends:
    with tempfile.TemporaryDirectory(prefix="durum-bench-") as folder:
        path = Path(folder, "runs.db")
        commits = drive_recorded(path, plan, {})  # closing the store checkpoints it
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    start, head = commits[0], commits[edge]
    mark, tail = commits[-1 - edge], commits[-1]
    return Ends(
        first=(head.clock - start.clock) / edge,
        last=(tail.clock - mark.clock) / edge,
        first_processor=(head.processor - start.processor) / edge,
        last_processor=(tail.processor - mark.processor) / edge,
        first_bytes=sum(commit.size for commit in commits[1 : edge + 1]) / edge,
        last_bytes=sum(commit.size for commit in commits[-edge:]) / edge,
        store_bytes=size,
    )
