"""DBOS on SQLite: N workflows of 10 steps each, side by side in one event loop.

``start_workflow_async`` of an async workflow with async steps, all handles awaited: faster than ``start_workflow`` on DBOS's
threads. ``dbos_launch`` says how durable a step is.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from dbos import DBOS

from bench.peers.dbos_launch import COUNT, launched
from bench.peers.serving import VALUE, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STEPS = 10


@DBOS.step()
async def count(value: dict[str, Any], place: int) -> dict[str, Any]:
    """Count one up."""
    return {**value, "count": place}


@DBOS.workflow()
async def chain(value: dict[str, Any]) -> dict[str, Any]:
    """Call the step ten times."""
    for place in range(STEPS):
        value = await count(value, place + 1)
    return value


async def run() -> None:
    """Start all workflows and wait for them."""

    async def one() -> dict[str, Any]:
        handle = await DBOS.start_workflow_async(chain, VALUE)
        result: dict[str, Any] = await handle.get_result()
        return result

    results = await asyncio.gather(*(one() for _ in range(COUNT)))
    assert all(result["count"] == STEPS for result in results)


@contextlib.contextmanager
def ready(folder: Path) -> Iterator[Callable[[], object]]:
    """Prepare a round."""
    with launched(folder):
        yield lambda: asyncio.run(run())


if __name__ == "__main__":
    serve(ready)
