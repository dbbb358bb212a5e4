"""An item of a step that runs for each against a plain step that does the same, in turn in one process.

    python -m bench.each [--quick]

Both give a text of 200 characters and cost one commit, one at a time and eight at a time: the time of an item over that of a
plain state, from the first that completed to the last. And a run of ten times as many items: its processor time an item over
the short run's, and what each item adds to the peak of memory.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, TypedDict

import durum
from bench.figures import Figure, ratio, report, spread
from bench.peak import peak_bytes
from bench.rounds import Took, clocks, in_turn, rates_note
from durum.core.events import Envelope, StateCompleted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = "One state for every item of a list. " * 6
AT_A_TIME = (1, 8)


class Given(TypedDict):
    """What both kinds begin with."""

    numbers: list[int]


def items(_: int) -> durum.Workflow:
    """Return a workflow with one step that runs for each item, however many there are."""
    flow = durum.Workflow("items", inputs=Given)

    @flow.step(each="numbers")
    def texts(item: int) -> str:
        return f"{item:06} {TEXT}"

    return flow


def plain(count: int) -> durum.Workflow:
    """Return a workflow with a step for each item, side by side."""
    flow = durum.Workflow("plain", inputs=Given)

    def step(number: int) -> Callable[[], str]:
        def text() -> str:
            return f"{number:06} {TEXT}"

        return text

    for number in range(count):
        flow.step(name=f"text{number}")(step(number))
    return flow


def run(folder: Path, flow: durum.Workflow, count: int, at_a_time: int) -> Took:
    """Run a workflow in a new store; return what its states took, from the first that completed to the last."""
    marks: list[Took] = []

    def note(envelope: Envelope) -> None:
        if isinstance(envelope.event, StateCompleted) and not envelope.event.state_id.endswith(".each"):
            marks.append(Took(time.perf_counter(), time.process_time()))

    with durum.open(f"sqlite:///{folder / 'runs.db'}") as store:
        config = durum.RunConfig(max_concurrency=at_a_time)
        numbers: list[object] = [*range(count)]
        result = store.start(flow, {"numbers": numbers}, config=config, watcher=durum.Watcher(event=note))
        assert result["status"] == "completed", result
    first, last = marks[0], marks[count - 1]
    return Took(last.clock - first.clock, last.processor - first.processor)


def measure(*, quick: bool) -> list[Figure]:
    """Return the figures."""
    count, rounds = (30, 1) if quick else (1000, 5)
    (short, _), (long, added) = (_grown(items(size), size) for size in (count, count * 10))
    note = f"{short:.0f} and {long:.0f} us of the processor an item; each item adds {added / 1000:.1f} KB of memory"
    figures = [Figure(f"{count * 10:,} items against {count:,}: processor time an item", spread([long / short]), note=note)]
    flows = {"each=": items(count), "plain": plain(count)}
    for at_a_time in AT_A_TIME:
        works = {name: partial(run, flow=flow, count=count, at_a_time=at_a_time) for name, flow in flows.items()}
        took = in_turn(rounds, works)
        name = f"an item of each= against a plain state, {at_a_time} at a time: time"
        figures.append(Figure(name, ratio(clocks(took["each="]), clocks(took["plain"])), note=rates_note(took, count)))
    return figures


def _grown(flow: durum.Workflow, count: int) -> tuple[float, float]:
    """Return the processor's time an item in us, and the bytes each added to the peak."""
    before = peak_bytes()
    ((took,),) = in_turn(1, {"": partial(run, flow=flow, count=count, at_a_time=AT_A_TIME[-1])}).values()
    return took.processor / count * 1e6, (peak_bytes() - before) / count


if __name__ == "__main__":
    report(measure, __doc__)
