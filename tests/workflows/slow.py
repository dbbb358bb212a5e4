"""Runs that take their time: one to be fought over, one that waits for a retry."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from durum import Io, Retry, StepError, Workflow

long = Workflow("long")
waiting = Workflow("waiting", exec=["sh"])


@long.step
async def first(io: Io) -> str:
    """Begin."""
    return str(await io.uuid())


@long.step
async def rest(first: str) -> str:
    """Take long enough for others to come."""
    mark()
    await asyncio.sleep(1.2)
    return first


def mark() -> None:
    """Leave a trace of who drives, which no record answers."""
    with Path("driven").open("a", encoding="utf-8") as file:
        file.write("x\n")


@waiting.step(retry=Retry(attempts=2, backoff="fixed", delay=timedelta(seconds=1.5), jitter=0))
async def twice(io: Io) -> int:
    """Fail the first time, by what a file says."""
    tried = await io.exec(["sh", "-c", "echo x >> twice; wc -l < twice"], keep="attempt")
    if int(tried.stdout) == 1:
        message = "not yet"
        raise StepError(message, retryable=True)
    return int(tried.stdout)
