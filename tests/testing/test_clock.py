"""A clock for tests: its time is the test's to move."""

from __future__ import annotations

import asyncio
import threading

import pytest

from durum.testing.clock import ManualClock


def test_time_stands_still_until_it_is_moved() -> None:
    """Only ``advance`` moves it, by as much as it is told, and never back."""
    clock = ManualClock(100)
    assert clock.now_ms() == clock.now_ms() == 100
    clock.advance(5)
    assert clock.now_ms() == 105
    with pytest.raises(ValueError, match="not back"):
        clock.advance(-1)


def test_sleepers_wake_when_they_are_due() -> None:
    """Each at its moment and not before; what is slept for can be seen; a moment that has passed is not waited for."""

    async def scenario() -> None:
        clock = ManualClock(100)
        woken: list[int] = []

        async def sleep(due_ms: int) -> None:
            await clock.sleep_until(due_ms)
            woken.append(due_ms)

        sleepers = [asyncio.create_task(sleep(due_ms)) for due_ms in (130, 90, 110, 120)]
        while len(clock.due) < 3:  # noqa: ASYNC110 - each turn lets the sleepers begin
            await asyncio.sleep(0)
        assert clock.due == [110, 120, 130]
        assert woken == [90]
        clock.advance(20)
        await asyncio.gather(sleepers[2], sleepers[3])
        assert (sorted(woken), clock.due) == ([90, 110, 120], [130])
        sleepers[0].cancel()
        await asyncio.wait([sleepers[0]])
        assert clock.due == []

    asyncio.run(scenario())


def test_time_may_be_moved_from_another_thread() -> None:
    """A run that is driven in one thread is woken from the test's."""
    clock = ManualClock(0)
    ended: list[int] = []

    def sleep() -> None:
        asyncio.run(clock.sleep_until(50))
        ended.append(clock.now_ms())

    thread = threading.Thread(target=sleep)
    thread.start()
    while not clock.due:
        pass
    clock.advance(50)
    thread.join(10)
    assert ended == [50]


def test_time_that_moves_by_itself_jumps_to_what_is_slept_for() -> None:
    """With ``auto_advance`` nothing ever waits, and time never goes back."""

    async def scenario() -> None:
        clock = ManualClock(100, auto_advance=True)
        await asyncio.gather(clock.sleep_until(5_000), clock.sleep_until(200))
        assert clock.now_ms() == 5_000

    asyncio.run(scenario())
