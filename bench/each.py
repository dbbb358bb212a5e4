"""An item of a step that runs for each against a plain step that does the same, interleaved in one process.

    python -m bench.each [--items 1000] [--rounds 7]

Both give a text of 200 characters and cost one commit, one at a time and eight at a time. The ratios are the median time of an
item, by the clock and of the processor alone, over that of a plain state, from the first that completed to the last. Below
stand the processor's time and the memory of one run of so many items and of ten times as many: both grow with the items.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import durum
from durum.core.events import Envelope, StateCompleted

if TYPE_CHECKING:
    from collections.abc import Callable

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


def seconds_of(flow: durum.Workflow, count: int, at_a_time: int) -> tuple[float, float]:
    """Run a workflow in a store of its own; return the seconds a state took, by the clock and of the processor."""
    marks: list[tuple[float, float]] = []

    def note(envelope: Envelope) -> None:
        if isinstance(envelope.event, StateCompleted) and not envelope.event.state_id.endswith(".each"):
            marks.append((time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory() as folder, durum.open(f"sqlite:///{Path(folder)}/runs.db") as store:
        config = durum.RunConfig(max_concurrency=at_a_time)
        numbers: list[object] = [*range(count)]
        result = store.start(flow, {"numbers": numbers}, config=config, watcher=durum.Watcher(event=note))
        assert result["status"] == "completed", result
    clock, processor = (end - begin for begin, end in zip(marks[0], marks[count - 1], strict=True))
    return clock / (count - 1), processor / (count - 1)


def measure(count: int, rounds: int, at_a_time: int) -> str:
    """Return the figures of one degree of concurrency as a line."""
    flows = {make: make(count) for make in (items, plain)}
    seconds: dict[object, list[tuple[float, float]]] = {make: [] for make in flows}
    for flow in flows.values():
        seconds_of(flow, count, at_a_time)
    for _ in range(rounds):
        for make, flow in flows.items():
            seconds[make].append(seconds_of(flow, count, at_a_time))
    line = f"{at_a_time:9}"
    for which in (0, 1):
        item, state = (statistics.median(pair[which] for pair in seconds[make]) for make in (items, plain))
        line += f" {item * 1e6:10.0f} {state * 1e6:11.0f} {item / state:6.2f}  "
    return line


def memory() -> int:
    """Return the most memory this process ever held, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def grown(count: int) -> str:
    """Return the figures of one run as a line."""
    before = memory()
    _, seconds = seconds_of(items(count), count, AT_A_TIME[-1])
    return f"{count:9,} {seconds * 1e6:11.0f} {(memory() - before) / 1024:14.0f}"


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    small = grown(options.items)
    large = grown(options.items * 10)
    print("at a time us an item  us a state  ratio   of the processor alone")
    for at_a_time in AT_A_TIME:
        print(measure(options.items, options.rounds, at_a_time))
    print("    items  us an item  MiB at most more")
    print(small)
    print(large)


if __name__ == "__main__":
    main()
