"""A family of runs for the crash tests: children side by side, each with a child that acts; and one whose child must ask."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TypedDict

from durum import Io, Retry, StepError, Workflow


class Number(TypedDict):
    """What each of them is given."""

    n: int


deepest = Workflow("deepest", inputs=Number, exec=["sh"])
middle = Workflow("middle", inputs=Number, exec=["echo"])
flow = Workflow("family", inputs=Number)
asking = Workflow("asking", exec=["sh"])
parked = Workflow("parked")
lasting = Workflow("lasting")
patient = Workflow("patient")


@deepest.step
async def drawn(n: int, io: Io) -> int:
    """Read something random, the same after every crash, and leave it out of the result."""
    await io.random_bytes(4)
    return n + 1


@deepest.step(effects="apply_side_effect", idempotency="told", idempotent=True)
async def told(drawn: int, io: Io) -> int:
    """Tell a receiver that does a thing once only, by its key: here, by the number."""
    await io.exec(["sh", "-c", f"mkdir -p told; : > told/{drawn}"], read=False)
    return drawn * 2


@middle.step(child=deepest, result="told")
def below(n: int) -> Number:
    """Have a child."""
    return {"n": n * 10}


@middle.step(retry=Retry(attempts=2, backoff="fixed", delay=timedelta(milliseconds=20), jitter=0))
async def flaky(n: int, io: Io) -> int:
    """Fail the first time, by a value that is recorded."""
    if await io.get_recorded_fact("tried") is None:
        await io.record_value("tried", {"n": n})
        message = "again"
        raise StepError(message, retryable=True)
    return n


@middle.step
async def result(below: int, flaky: int, io: Io) -> str:
    """Read something slowly."""
    await asyncio.sleep(0.01)
    return (await io.exec(["echo", f"{below} {flaky}"])).stdout.strip()


@flow.step
def numbers(n: int) -> list[int]:
    """Count."""
    return list(range(n))


@flow.step(each="numbers", child=middle, result="result", writes="results")
def spread(item: int) -> Number:
    """Have a child for each."""
    return {"n": item}


@flow.step
def end(results: list[str]) -> str:
    """Go on."""
    return ",".join(results)


@asking.step(effects="apply_side_effect")
async def act(io: Io) -> str:
    """Do what nobody may repeat, and take long enough to be killed at it."""
    await io.exec(["sh", "-c", "echo x >> acts; exec sleep 30"], read=False)
    return "done"


@parked.step(child=asking, result="act")
def asked() -> dict[str, int]:
    """Have a child that acts."""
    return {}


@parked.step
def after(asked: str) -> str:
    """Go on."""
    return asked


@lasting.step
async def held() -> str:
    """Last until a file is there."""
    while not Path("free").exists():  # noqa: ASYNC110, ASYNC240 - another process lets it go
        await asyncio.sleep(0.01)
    return "freed"


@patient.step(child=lasting, result="held")
def given() -> dict[str, int]:
    """Have a child that lasts."""
    return {}
