"""The simulated loop: time jumps, order is kept, a dead process never runs again and a hung one goes on where it stood."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from tests.simulation.loop import Process, SimulatedLoop, Stalled, current_process


def in_process(process: Process) -> contextvars.Context:
    """Return the context of a process."""
    context = contextvars.copy_context()
    context.run(current_process.set, process)
    return context


def test_time_jumps_to_the_next_timer() -> None:
    """An hour passes at once, and whoever sleeps shorter wakes sooner."""
    loop, woke = SimulatedLoop(), []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woke.append((seconds, loop.time()))

    async def main() -> None:
        await asyncio.gather(*(sleeper(seconds) for seconds in (3600.0, 2.0, 0.5)))

    loop.run(main())
    assert woke == [(0.5, 0.5), (2.0, 2.0), (3600.0, 3600.0)]
    loop.close()


def test_nothing_left_to_happen_is_told() -> None:
    """A world in which everybody waits for somebody else does not hang the test."""
    loop = SimulatedLoop()

    async def main() -> None:
        await loop.create_future()

    with pytest.raises(Stalled):
        loop.run(main())
    loop.close()


def test_a_dead_process_never_runs_again() -> None:
    """Neither what it had begun nor its clean-up, not even when the world is thrown away and the code catches everything."""
    loop, process, said = SimulatedLoop(), Process("p"), []

    async def life() -> None:
        for _ in range(3):
            try:
                said.append("works")
                await asyncio.sleep(1)
            except BaseException:  # noqa: BLE001, S110 - as a step may
                pass
        said.append("done")

    async def main() -> None:
        process.main = loop.create_task(life(), context=in_process(process))
        await asyncio.sleep(0.5)
        process.alive = False
        await asyncio.sleep(10)

    loop.run(main())
    assert said == ["works"]
    loop.close()
    assert loop.faults == []


def test_a_hung_process_goes_on_late() -> None:
    """What came due meanwhile is done when it goes on, in its order; others are not held up."""
    loop, process, said = SimulatedLoop(), Process("p"), []

    async def life(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        said.append((name, loop.time()))

    async def main() -> None:
        tasks = [
            loop.create_task(life(name, seconds), context=in_process(process))
            for name, seconds in (("second", 2.0), ("first", 1.0))
        ]
        other = loop.create_task(life("other", 3.0))
        await asyncio.sleep(0.5)
        loop.hang(process)
        await other
        loop.go_on(process)
        await asyncio.gather(*tasks)

    loop.run(main())
    assert said == [("other", 3.0), ("first", 3.0), ("second", 3.0)]
    loop.close()


def test_sets_of_tasks_have_one_order() -> None:
    """A task's place in a set depends on its number, not on where it lies in memory."""
    loop = SimulatedLoop()

    async def nothing() -> None:
        return

    async def main() -> None:
        tasks = [loop.create_task(nothing()) for _ in range(50)]
        assert [hash(task) for task in tasks] == sorted(hash(task) for task in tasks)
        assert list({*tasks}) == list({*tasks[::-1]})
        await asyncio.gather(*tasks)

    loop.run(main())
    loop.close()
