"""Thirty states: chains side by side, joins, effects, facts of every kind, a retry and a hostile step. Used by the crash tests."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict

from durum import Io, Retry, StepError, TransportError, Workflow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BRANCHES = 4
LENGTH = 5


class SyntheticInput(TypedDict):
    """Where effects leave their marks."""

    folder: str


flow = Workflow("synthetic", inputs=SyntheticInput, exec=["sh"])
flow.key("trail", merge="append")


def chain_step(branch: int, place: int) -> Callable[..., Awaitable[int]]:
    """Return the step at one place of one chain; it reads what the place before it gave."""

    async def link(before: int, folder: str, io: Io) -> int:
        result = await io.exec(["sh", "-c", f"echo {branch} {place}; echo called >> {folder}/calls"])
        await asyncio.sleep(0.002)
        return before * 3 + len(result.stdout)

    return link


@flow.step
async def seed(io: Io) -> int:
    """Begin with something random, which must be the same after every crash."""
    return (await io.random_bytes(2))[0]


for _branch in range(BRANCHES):
    for _place in range(LENGTH):
        _before = "seed" if _place == 0 else f"chain{_branch}_{_place - 1}"
        _function = chain_step(_branch, _place)
        _function.__annotations__[_before] = int
        _renamed: dict[str, object] = {}
        exec(  # noqa: S102 - parameters are names, so thirty steps need thirty signatures
            f"async def step({_before}: int, folder: str, io: Io) -> int:\n    return await call({_before}, folder, io)",
            {"call": _function, "Io": Io},
            _renamed,
        )
        flow.step(name=f"chain{_branch}_{_place}")(_renamed["step"])  # type: ignore[call-overload]


@flow.step(writes="trail")
def first_mark(chain0_1: int) -> list[str]:
    """Add to a list others add to side by side."""
    return [f"first {chain0_1}"]


@flow.step(writes="trail")
def second_mark(chain1_1: int) -> list[str]:
    """Add to a list others add to side by side."""
    return [f"second {chain1_1}"]


@flow.step(retry=Retry(attempts=3, delay=timedelta(milliseconds=20), jitter=0.5))
async def flaky(seed: int, folder: str, io: Io) -> int:
    """Fail once, by a recorded moment, and take another path on the retry."""
    moment = await io.now()
    tried = await io.random_bytes(1)
    marks = await io.exec(
        ["sh", "-c", f"cat {folder}/flaky 2>/dev/null; echo once > {folder}/flaky"], keep="attempt", check=False
    )
    if "once" not in marks.stdout:
        message = f"not yet, {moment:%Y}"
        raise StepError(message, retryable=True)
    return seed + len(tried) + (len(marks.stdout) > 0)


@flow.step
async def hostile(trail: list[str], chain2_4: int, io: Io) -> tuple[str, int]:
    """Mutate an argument, catch an error and fall back, and call things side by side."""
    trail.append("not kept")
    try:
        await io.exec(["sh", "-c", "exit 3"])
        path = "straight"
    except TransportError as error:
        path = error.transport_code

    async def pair(number: int) -> int:
        first = await io.exec(["sh", "-c", f"sleep 0.0{4 - number}; echo {number}"])
        await io.now()
        second = await io.exec(["sh", "-c", f"echo {first.stdout.strip()}{number}"])
        return int(second.stdout)

    numbers = await asyncio.gather(*(pair(number) for number in range(4)))
    return f"{path} {len(trail)}", sum(numbers) + chain2_4


@flow.step(effects="apply_side_effect", idempotency="{run_id}/report")
async def report(hostile: tuple[str, int], chain3_4: int, flaky: int, folder: str, io: Io) -> str:
    """Leave one file behind."""
    text = f"{hostile} {chain3_4} {flaky > 0}"
    await io.write_file(f"{folder}/report", text)
    return text


@flow.step
def tail(report: str, chain0_4: int, chain1_4: int) -> dict[str, int]:
    """Join what is left."""
    return {"length": len(report), "sum": chain0_4 + chain1_4}
