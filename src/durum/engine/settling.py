"""When a step has come to rest: live no answer comes before, and replay waits as long, so chains side by side meet alike."""

from __future__ import annotations

import asyncio
from typing import Any

SETTLE_TURNS = 4
"""Turns of the event loop that whoever runs is given to make its next call."""


async def come_to_rest() -> None:
    """Give everyone else their turns."""
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)


def leave_behind(task: asyncio.Task[Any]) -> None:
    """Cancel a task that nobody waits for any more: off the loop's books, it cannot hold up the end of the process either."""
    task.cancel()
    asyncio.tasks._unregister_task(task)  # noqa: SLF001 - documented under "Task lifetime support"
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it may well be pending then
