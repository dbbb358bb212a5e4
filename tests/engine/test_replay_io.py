"""Answers from the record: in their order, at their time, and what happens when the code no longer asks as it did."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from durum import Durum, Io, Workflow
from durum.engine.replay_io import Turnstile
from tests.engine.doubles import InstantClock, Scripted, counting
from tests.engine.runs import Ran, run


def passed(order: list[tuple[str, int]], *chains: list[str]) -> tuple[list[str], float]:
    """Let chains of calls through a turnstile; return in which order they passed and how long that took."""
    found: list[str] = []

    async def scenario() -> None:
        turnstile = Turnstile(order)

        async def chain(keys: list[str]) -> None:
            for key in keys:
                if key == "-":
                    turnstile.begin()
                else:
                    await turnstile.turn(key)
                    found.append(key)

        await asyncio.gather(*map(chain, chains))

    begun = time.monotonic()
    asyncio.run(scenario())
    return found, time.monotonic() - begun


def test_calls_pass_in_recorded_order_whoever_comes_first() -> None:
    """Each waits for those before it and until as many calls were made as when it was answered."""
    order = [("b", 2), ("a", 2), ("d", 4), ("c", 4)]
    for chains in ((["a", "c"], ["b", "d"]), (["b", "d"], ["a", "c"])):
        assert passed(order, *chains)[0] == ["b", "a", "d", "c"]
    assert passed([("b", 3), ("a", 3)], ["a"], ["b"], ["-"])[0] == ["b", "a"]


@pytest.mark.parametrize(
    ("order", "chain"),
    [
        ([("a", 1), ("gone", 2), ("c", 3)], ["a", "c"]),
        ([("gone", 1), ("also", 2), ("c", 3)], ["c"]),
        ([("a", 1), ("b", 2)], ["b", "a"]),
        ([("a", 1)], ["new", "a", "newer"]),
        ([("a", 1), ("b", 2)], ["a", "-", "b"]),
    ],
)
def test_a_chain_of_other_calls_is_let_through_at_once(order: list[tuple[str, int]], chain: list[str]) -> None:
    """What no longer comes is passed over without waiting for it: the report of a changed step is not slow."""
    found, seconds = passed(order, chain)
    assert (found, seconds < 0.5) == ([key for key in chain if key != "-"], True)


def test_a_missing_chain_is_given_up_after_a_while() -> None:
    """When fewer calls come than were made, nobody waits for ever."""
    found, seconds = passed([("b", 2), ("a", 2)], ["a"])
    assert (found, seconds < 5) == (["a"], True)


def test_the_same_key_may_be_waited_for_twice() -> None:
    """Both are answered."""
    assert passed([("a", 2), ("b", 3)], ["a", "b"], ["a"])[0] == ["a", "a", "b"]


def test_a_call_given_up_while_it_waits_leaves_the_others_their_turn() -> None:
    """A cancelled wait takes its place out of the order."""

    async def scenario() -> list[str]:
        turnstile = Turnstile([("slow", 2), ("a", 2)])
        found: list[str] = []

        async def one(key: str) -> None:
            await turnstile.turn(key)
            found.append(key)

        slow = asyncio.create_task(one("slow"))
        await asyncio.sleep(0)
        slow.cancel()
        await asyncio.gather(slow, one("a"), return_exceptions=True)
        return found

    assert asyncio.run(scenario()) == ["a"]


def test_many_calls_in_one_step_replay_in_linear_time() -> None:
    """Two thousand calls side by side are no matter."""
    order = [(str(number), 2_000) for number in range(2_000)]
    found, seconds = passed(order, *([str(number)] for number in reversed(range(2_000))))
    assert (found, seconds < 5) == ([str(number) for number in range(2_000)], True)


def test_a_slow_machine_does_not_fail_a_step_that_kept_its_time() -> None:
    """A timeout is the engine's and was kept when the attempt was recorded; replay is patient."""
    naps = [0.0, 0.15]
    flow = Workflow("patient")

    @flow.step(timeout=timedelta(milliseconds=80))
    async def step(io: Io) -> int:
        await io.now()
        await asyncio.sleep(naps.pop(0))
        return 1

    ran = run(flow).sound()
    assert (ran.status, naps) == ("completed", [])


def test_a_value_is_there_once_it_was_bound() -> None:
    """What a step looks up before it records it is absent then, in replay as it was live."""
    flow = Workflow("looks")

    @flow.step
    async def step(io: Io) -> list[bool]:
        before = await io.get_recorded_fact("k") is None
        await io.record_value("k", 1)
        return [before, await io.get_recorded_fact("k") is None]

    @flow.step(after=["step"])
    async def later(io: Io) -> bool:
        return await io.get_recorded_fact("k") is None

    assert run(flow).sound().context == {"step": [True, False], "later": False}


def test_no_transport_is_made_in_replay_and_none_is_asked() -> None:
    """The factories are not even called."""
    made: list[Scripted] = []

    def factory() -> Scripted:
        made.append(counting())
        return made[-1]

    flow = Workflow("offline", transports={"fake": factory})

    @flow.step
    async def step(io: Io) -> Any:
        return [await io.call("fake", {}), await io.call("fake", {})]

    service = Durum("memory://", clock=InstantClock())
    ran = Ran(service, flow, service.start(flow))
    assert len(made) == 1
    ran.sound()
    assert (len(made), len(made[0].seen)) == (1, 2)
