"""Runs for a fleet of workers: they act on the world once, through a receiver that knows no keys; one kills its process."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from durum import Io, Workflow
from tests.workflows.journal import Journal

fleet = Workflow("fleet", transports={"journal": Journal})
late = Workflow("late", transports={"journal": Journal})
poison = Workflow("poison")


@fleet.step
async def before(io: Io) -> str:
    """Record something."""
    return str(await io.uuid())


@fleet.step(effects="apply_side_effect")
async def act(before: str, io: Io) -> str:
    """Leave a line."""
    await io.call("journal", {"text": before}, read=False)
    return before


@fleet.step
async def after(act: str) -> str:
    """Take a little while."""
    await asyncio.sleep(0.02)
    return act


@late.step(effects="apply_side_effect")
async def once(io: Io) -> str:
    """Say who drives; leave a line once somebody says so, however long that takes."""
    note("driven", str(os.getpid()))
    while not Path("go").exists():  # noqa: ASYNC110, ASYNC240 - it is a file that is waited for
        await asyncio.sleep(0.02)
    await io.call("journal", {"text": "late"}, read=False)
    return "done"


@poison.step
async def kills(io: Io) -> None:
    """End the process, after something that is recorded anew each time."""
    await io.now()
    note("tried", "x")
    os._exit(9)


def note(name: str, line: str) -> None:
    """Leave a trace that no record answers."""
    with Path(name).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
