"""Calls side by side: whoever is answered first, given up or cancelled, replay meets it in the same order."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest

from durum import Io, Retry, StepError, TransportError, Workflow
from tests.engine.doubles import Scripted, counting
from tests.engine.runs import run

AGAIN = Retry(attempts=3, delay=timedelta(0), jitter=0)


async def fail_first(io: Io) -> None:
    """Fail in the first attempt, by a recorded answer, so that replay fails alike."""
    if await io.call("tries", {}, keep="attempt") == 1:
        message = "again"
        raise StepError(message, retryable=True)


def test_an_explicit_key_asked_for_side_by_side_has_one_answer() -> None:
    """Two states, and two chains in one state, may make the call at once: the first binding is what all of them see."""

    async def answer(request: Any, call: Any) -> int:
        del call
        await asyncio.sleep(0.02 * request["n"])
        return int(request["n"])

    flow = Workflow("raced", transports={"fake": lambda: Scripted(answer)})

    @flow.step
    async def slow(io: Io) -> list[Any]:
        return await asyncio.gather(*(io.call("fake", {"n": number}, fact_key="raced") for number in (3, 2)))

    @flow.step
    async def fast(io: Io) -> Any:
        return await io.call("fake", {"n": 1}, fact_key="raced")

    ran = run(flow).sound()
    assert ran.context == {"fast": 1, "slow": [1, 1]}
    assert len(ran.facts()) == 1


@pytest.mark.parametrize("seed", range(7))
def test_four_chains_of_equal_requests_replay_in_their_order(seed: int) -> None:
    """Chains under gather make the same request; which answer went to which is reproduced, the clock between them included."""
    chance = random.Random(seed)

    async def answer(request: Any, call: Any) -> int:
        del request, call
        if seed > 1:  # below that, answers come at once
            await asyncio.sleep(chance.uniform(0, 0.01))
        return len(fake.seen)

    fake = Scripted(answer)
    flow = Workflow("chains", transports={"fake": lambda: fake})

    @flow.step
    async def step(io: Io) -> list[Any]:
        order: list[int] = []

        async def chain(number: int) -> list[Any]:
            for _ in range(number % 2):
                await asyncio.sleep(0)
            one = await io.call("fake", {"same": True})
            order.append(number)
            await io.now()
            two = await io.call("fake", {"same": True})
            order.append(number)
            return [one, two]

        return [await asyncio.gather(*(chain(number) for number in range(4))), order]

    ran = run(flow).sound()
    assert len(fake.seen) == 8
    assert len(ran.facts()) == 12


def test_an_answer_waits_for_the_calls_that_came_before_it() -> None:
    """A chain that calls late and is answered first is so in replay too, although nothing delays the other one there."""

    async def answer(request: Any, call: Any) -> int:
        del call
        await asyncio.sleep(0.08 if request["n"] == "early" else 0)
        return 1

    flow = Workflow("late", transports={"fake": lambda: Scripted(answer)})

    @flow.step
    async def step(io: Io) -> list[str]:
        order: list[str] = []

        async def chain(name: str, nap: float) -> None:
            await asyncio.sleep(nap)
            await io.call("fake", {"n": name})
            order.append(name)

        await asyncio.gather(chain("early", 0), chain("late", 0.03))
        return order

    assert run(flow).sound().context["step"] == ["late", "early"]


def test_a_call_that_is_given_up_is_recorded_as_such() -> None:
    """wait_for around a read and a fallback: replay does not answer the call either, and a retry makes it again."""
    slow = [True]

    async def answer(request: Any, call: Any) -> str:
        del call
        if request["n"] == "slow" and slow[0]:
            await asyncio.sleep(5)
        return str(request["n"])

    tries = counting()
    flow = Workflow("given_up", transports={"fake": lambda: Scripted(answer), "tries": lambda: tries})

    @flow.step(retry=AGAIN)
    async def step(io: Io) -> str:
        try:
            text = await asyncio.wait_for(io.call("fake", {"n": "slow"}), 0.03)
        except TimeoutError:
            text = await io.call("fake", {"n": "fallback"})
        slow[0] = False
        await fail_first(io)
        return str(text)

    ran = run(flow).sound()
    assert ran.context["step"] == "slow"
    assert [(fact["outcome"], fact["attempt"]) for fact in ran.facts()] == [
        ("cancelled", 0),
        ("success", 0),
        ("success", 0),
        ("success", 1),
        ("success", 1),
    ]


async def takes(request: Any, call: Any) -> Any:
    """Answer after as many hundredths of a second as asked, or refuse."""
    del call
    await asyncio.sleep(0.01 * request["n"])
    if request.get("bad"):
        raise TransportError("bad", code="bad")
    return request["n"]


def timed(name: str) -> Workflow:
    """Return a workflow whose calls take their time."""
    return Workflow(name, transports={"fake": lambda: Scripted(takes)})


def test_a_group_that_fails_cancels_the_calls_of_the_others() -> None:
    """The first failure of a task group cancels its other calls, live and in replay."""
    flow = timed("group")

    @flow.step
    async def step(io: Io) -> list[str]:
        try:
            async with asyncio.TaskGroup() as group:
                for number in (1, 30, 20):
                    group.create_task(io.call("fake", {"n": number, "bad": number == 1}))
        except BaseExceptionGroup as failed:
            return [str(error) for error in failed.exceptions]
        return []

    ran = run(flow).sound()
    assert ran.context["step"] == ["bad"]
    assert [fact["outcome"] for fact in ran.facts()] == ["error", "cancelled", "cancelled"]


def test_the_first_answer_wins_and_the_others_are_given_up() -> None:
    """Which was first is in the record."""
    flow = timed("first")

    @flow.step
    async def step(io: Io) -> list[Any]:
        calls = [asyncio.create_task(io.call("fake", {"n": number})) for number in (30, 1, 20)]
        done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for call in pending:
            call.cancel()
        return [call.result() for call in done]

    ran = run(flow).sound()
    assert ran.context["step"] == [1]
    assert sorted(fact["outcome"] for fact in ran.facts()) == ["cancelled", "cancelled", "success"]


def test_a_time_limit_over_several_calls_ends_at_the_same_one() -> None:
    """How many were answered in time depends on the world; replay answers just those."""
    flow = timed("limit")

    @flow.step
    async def step(io: Io) -> list[Any]:
        got: list[Any] = []
        try:
            async with asyncio.timeout(0.07):
                while True:
                    got.append(await io.call("fake", {"n": 1 + len(got) / 1_000}))
        except TimeoutError:
            got.append("time is up")
        return [*got, await io.call("fake", {"n": 0})]

    ran = run(flow).sound()
    assert ran.context["step"][-2:] == ["time is up", 0]
    assert ran.facts()[-2]["outcome"] == "cancelled"
