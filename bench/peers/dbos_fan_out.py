"""DBOS on SQLite: a workflow whose first step gives numbers, a step for each of them side by side, a step that adds up.

Async steps started in order and gathered, as DBOS's tutorial has it; several times as fast as a child workflow for each number.
``dbos_launch`` says how durable a step is.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from dbos import DBOS

from bench.peers.dbos_launch import COUNT, launched
from bench.peers.serving import TEXT, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@DBOS.step()
async def numbers(text: str) -> list[int]:
    """Give the numbers."""
    del text
    return list(range(COUNT))


@DBOS.step()
async def square(number: int) -> int:
    """Square one number."""
    return number * number


@DBOS.step()
async def total(squares: list[int]) -> int:
    """Add up."""
    return sum(squares)


@DBOS.workflow()
async def fan_out(text: str) -> int:
    """Fan out and join."""
    squares = await asyncio.gather(*(square(number) for number in await numbers(text)))
    result: int = await total(list(squares))
    return result


@contextlib.contextmanager
def ready(folder: Path) -> Iterator[Callable[[], object]]:
    """Prepare a round."""
    results: list[int] = []
    with launched(folder):
        yield lambda: results.append(asyncio.run(fan_out(TEXT)))
    assert results[0] == sum(number * number for number in range(COUNT))


if __name__ == "__main__":
    serve(ready)
