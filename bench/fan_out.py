"""Fan-out 1 -> 1,000 -> join: a step that gives numbers, a state for each of them, a step that adds up what they gave.

    python -m bench.fan_out [--quick]

Written as a user writes it (``each=``), as it comes (8 at a time) and with 64 at a time, and as 1,000 authored steps side by
side as they come; whole ``start`` calls, 1 KiB of context. The peers have no limit to how many are under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import durum
from bench.against import OURS
from bench.figures import Figure, ratio, report
from bench.plans import TEXT
from bench.rounds import Took, clocks, in_turn, rates_note, timed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from durum.core.canonical import JsonObject

WIDE = 64


class Given(TypedDict):
    """What both begin with."""

    text: str


def items(count: int) -> durum.Workflow:
    """Return a workflow with a step that runs for each item."""
    flow = durum.Workflow("items", inputs=Given)

    @flow.step
    def numbers(text: str) -> list[int]:
        del text
        return list(range(count))

    @flow.step(each="numbers")
    def squares(item: int) -> int:
        return item * item

    @flow.step
    def total(squares: list[int]) -> int:
        return sum(squares)

    return flow


def authored(count: int) -> durum.Workflow:
    """Return a workflow with a step for each number, side by side."""
    flow = durum.Workflow("authored", inputs=Given)
    flow.key("squares", merge="append")

    @flow.step
    def begin(text: str) -> int:
        return len(text)

    def square(number: int) -> Callable[[int], list[int]]:
        def step(begin: int) -> list[int]:
            del begin
            return [number * number]

        return step

    for number in range(count):
        flow.step(name=f"square{number}", writes="squares")(square(number))

    @flow.step
    def total(squares: list[int]) -> int:
        return sum(squares)

    return flow


def run(folder: Path, flow: durum.Workflow, count: int, config: durum.RunConfig | None = None) -> Took:
    """Start a run in a new store and drive it to its end; return what that took."""
    with durum.open(f"sqlite:///{folder / 'runs.db'}") as store:
        results: list[JsonObject] = []
        took = timed(lambda: results.append(store.start(flow, {"text": TEXT}, config=config)))
        assert store.context(str(results[0]["run_id"]), "total") == sum(number * number for number in range(count))
    return took


def each(count: int) -> dict[str, Callable[[Path], Took]]:
    """Return how we run for each of so many numbers: as it comes, and with more at a time."""
    flow, wide = items(count), durum.RunConfig(max_concurrency=WIDE)
    return {
        OURS: lambda folder: run(folder, flow, count),
        f"{OURS}, {WIDE} at a time": lambda folder: run(folder, flow, count, wide),
    }


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    count, rounds = (30, 1) if quick else (1000, 5)
    flow, works = authored(count), each(count)
    took = in_turn(rounds, {**works, "authored": lambda folder: run(folder, flow, count)})
    name = f"fan-out 1 -> {count:,} -> join: speed of each= against as many authored steps"
    return [
        Figure(f"{name} ({ours})", ratio(clocks(took["authored"]), clocks(took[ours])), note=rates_note(took, count))
        for ours in works
    ]


if __name__ == "__main__":
    report(measure, __doc__)
