"""A thousand items for the crash tests: each leaves a line outside of Durum, and one may kill its own process.

It works in the current directory; the item named in the file ``deadly`` takes the file away and kills the process.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TypedDict

from durum import Io, Workflow


class ItemsInput(TypedDict):
    """How many items there are to be taken one by one, and together."""

    count: int
    few: int


flow = Workflow("items", inputs=ItemsInput)


@flow.step
async def numbers(count: int, io: Io) -> list[int]:
    """Give the items; how many were asked for is a fact."""
    await io.record_value("count", count)
    return [number * 7 % count for number in range(count)]


def left_behind(name: str, number: int) -> None:
    """Leave a line, and perhaps end here."""
    with Path(name).open("a", encoding="utf-8") as file:
        file.write(f"{number}\n")
    deadly = Path("deadly")
    if deadly.exists() and deadly.read_text(encoding="utf-8") == f"{name} {number}":
        deadly.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


@flow.step(each="numbers", max_concurrency=1)
def one_by_one(item: int, index: int) -> str:
    """Take one at a time."""
    left_behind("one_by_one", index)
    return f"{index}: {item}"


@flow.step
def some(few: int) -> dict[str, int]:
    """Give the others, as a map."""
    return {f"k{number:04}": number for number in range(few)}


@flow.step(each="some", after=[one_by_one])
async def together(item: tuple[str, int], index: int, io: Io) -> list[str]:
    """Take as many as the run allows, each with facts of its own."""
    key, number = item
    await io.record_value(f"seen/{key}", number)
    left_behind("together", index)
    return [key] * (number % 5)


@flow.step
def end(one_by_one: list[str], together: list[list[str]]) -> list[int]:
    """Look at all of them."""
    return [len(one_by_one), sum(map(len, together))]
