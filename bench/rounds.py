"""Rounds run in turn, so that a slow moment of the machine meets all that is compared."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Took(NamedTuple):
    """How long something took, in seconds."""

    clock: float
    processor: float


def timed(work: Callable[[], object]) -> Took:
    """Return how long a piece of work took in this process."""
    gc.collect()
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - clock, time.process_time() - processor)


def in_turn(rounds: int, works: Mapping[str, Callable[[Path], Took]]) -> dict[str, list[Took]]:
    """Do each piece of work once a round, in a new folder each time; return what each round took.

    The folders lie where temporary files do: TMPDIR chooses the disk.
    """
    took: dict[str, list[Took]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            with tempfile.TemporaryDirectory(prefix="durum-bench-") as folder:
                took[name].append(work(Path(folder)))
    return took


def clocks(took: list[Took]) -> list[float]:
    """Return the seconds by the clock."""
    return [one.clock for one in took]


def rates_note(took: Mapping[str, list[Took]], states: int) -> str:
    """Say how many states a second that is, and what one took of the processor."""
    return ", ".join(
        f"{name} {states / statistics.median(clocks(rounds)):,.0f} states/s at "
        f"{statistics.median(one.processor for one in rounds) / states * 1e6:.0f} us of the processor"
        for name, rounds in took.items()
    )
