"""Thirty-odd states for the crash tests.

Chains side by side, joins, a list merge, effects, facts of every kind, retries that back off, a thread, a large value and a
hostile step. It works in the current directory, so no path is in its context, and begins with the ``begin`` it is given, so
that two runs can be compared; without one it draws its own.
"""

from __future__ import annotations

import asyncio
import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from durum import Io, Retry, StepError, TransportError, Workflow

if TYPE_CHECKING:
    from collections.abc import Callable

BRANCHES = 4
LENGTH = 5
KEY = "$DURUM_IDEMPOTENCY_KEY"


class SyntheticInput(TypedDict):
    """Where the run begins."""

    begin: NotRequired[int]


flow = Workflow("synthetic", inputs=SyntheticInput, exec=["sh", "echo"])
flow.key("trail", merge="append")


@flow.step
async def seed(io: Io, begin: int = -1) -> int:
    """Begin with something random unless told where; either way it is the same after every crash."""
    drawn = (await io.random_bytes(2))[0]
    return drawn if begin < 0 else begin


def chain_step(before: str, branch: int, place: int) -> Callable[..., Any]:
    """Return the step at one place of one chain; it reads what the place before it gave."""

    async def link(io: Io, **given: int) -> int:
        result = await io.exec(["echo", f"{branch} {place}"])
        await asyncio.sleep(0.003)
        return given[before] * 3 % 1_000_003 + len(result.stdout)

    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in (before, "io")]
    link.__dict__["__signature__"] = inspect.Signature(parameters)
    link.__annotations__ = {before: int, "io": Io, "return": int}
    return link


for _branch in range(BRANCHES):
    for _place in range(LENGTH):
        _before = "seed" if _place == 0 else f"chain{_branch}_{_place - 1}"
        flow.step(name=f"chain{_branch}_{_place}")(chain_step(_before, _branch, _place))


@flow.step(writes="trail")
def first_mark(chain0_1: int) -> list[str]:
    """Add to a list others add to side by side."""
    return [f"first {chain0_1}"]


@flow.step(writes="trail")
async def second_mark(chain1_1: int, io: Io) -> list[str]:
    """Add to it too, a little later or earlier."""
    await io.sleep(timedelta(milliseconds=chain1_1 % 7))
    return [f"second {chain1_1}", "and one more"]


@flow.step(writes="trail")
def third_mark(trail: list[str]) -> list[str]:
    """Add to what both left."""
    return [f"third after {len(trail)}"]


@flow.step(retry=Retry(attempts=6, delay=timedelta(milliseconds=10), max_delay=timedelta(milliseconds=30), jitter=0.5))
async def flaky(seed: int, io: Io) -> int:
    """Fail twice, back off, and end with what does not depend on how often it was tried."""
    moment = await io.now()
    tried = await io.random_bytes(1)
    counted = await io.exec(["sh", "-c", "echo tried >> tries; wc -l < tries"], keep="attempt")
    if int(counted.stdout) < 3:
        message = f"not yet, {moment:%Y}"
        raise StepError(message, retryable=True)
    return seed + len(tried)


@flow.step(retry=Retry(attempts=2, on=(ValueError,), delay=timedelta(milliseconds=5), backoff="fixed", jitter=0))
async def stumbling(seed: int, io: Io) -> int:
    """Fail by an exception of its own until a value was recorded, which a crash may come between."""
    if await io.get_recorded_fact("stumbled") is None:
        await io.record_value("stumbled", {"at": seed})
        message = "stumbled"
        raise ValueError(message)
    return seed


@flow.step(blocking=True)
def threaded(chain3_0: int) -> list[int]:
    """Work in a thread."""
    return [number * chain3_0 for number in range(100)]


@flow.step
def large(chain2_0: int) -> dict[str, str]:
    """Give a value too large for the database."""
    return {f"k{number}": f"{chain2_0} " * 2_000 for number in range(40)}


@flow.step
def measured(large: dict[str, str]) -> int:
    """Read it."""
    return sum(map(len, large.values()))


@flow.step
async def hostile(trail: list[str], chain2_4: int, io: Io) -> tuple[str, int]:
    """Mutate an argument, catch an error and fall back, give a call up, and call the same things side by side."""
    trail.append("not kept")
    try:
        await io.exec(["sh", "-c", "exit 3"])
        path = "straight"
    except TransportError as error:
        path = error.transport_code
    try:
        await asyncio.wait_for(io.exec(["sh", "-c", "exec sleep 5"], keep="attempt"), 0.02)
    except TimeoutError:
        path += " gave up"

    async def pair(number: int) -> int:
        first = await io.exec(["sh", "-c", f"sleep 0.00{4 - number}; echo {number}"])
        await io.now()
        second = await io.exec(["echo", "7"])
        return int(first.stdout) * int(second.stdout)

    numbers = await asyncio.gather(*(pair(number) for number in range(4)))
    return f"{path} {len(trail)}", sum(numbers) + chain2_4


@flow.step(effects="apply_side_effect", idempotency="{run_id}/told", idempotent=True, retry=Retry(attempts=3))
async def told(chain1_3: int, io: Io) -> list[str]:
    """Tell a receiver that does the same thing once."""
    lines = []
    for number in range(2):
        once = f'grep -qx "{KEY} {number}" told 2>/dev/null || echo "{KEY} {number}" >> told; echo {chain1_3 + number}'
        lines.append((await io.exec(["sh", "-c", once], read=False)).stdout.strip())
    return lines


@flow.step(effects="apply_side_effect", idempotent=True)
async def report(hostile: tuple[str, int], chain3_4: int, flaky: int, told: list[str], io: Io) -> str:
    """Leave one file behind, the same however often it is written."""
    text = f"{hostile} {chain3_4} {flaky} {told}"
    await io.write_file("report", text)
    io.emit("reported", {"length": len(text)})
    return text


@flow.step
def tail(report: str, chain0_4: int, chain1_4: int, measured: int, threaded: list[int], stumbling: int) -> dict[str, int]:
    """Join what is left."""
    numbers = {"sum": chain0_4 + chain1_4, "measured": measured, "threads": sum(threaded), "stumbled": stumbling}
    return {"length": len(report), **numbers}
