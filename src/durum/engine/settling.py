"""When a step has come to rest: live no answer comes before, and replay waits as long, so chains side by side meet alike."""

from __future__ import annotations

import asyncio

SETTLE_TURNS = 4
"""Turns of the event loop that whoever runs is given to make its next call."""


async def come_to_rest() -> None:
    """Give everyone else their turns."""
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)
