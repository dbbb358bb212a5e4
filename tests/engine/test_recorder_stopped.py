"""Whoever waits for a commit may be cancelled at any moment, and a task may outlive its run: the log has no hole for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from durum.engine import recorder as module
from durum.stores.memory import MemoryStore
from durum.testing.faulty import Fault, FaultyStore, failing
from tests.engine.test_recorder import SlowStore, details, event, recorder_on

if TYPE_CHECKING:
    from durum.engine.recorder import Recorder


async def committing(store: SlowStore) -> tuple[Recorder, asyncio.Task[None]]:
    """Return a recorder in the middle of its first commit, of event 0, and whoever waits for that."""
    recorder = await recorder_on(store)
    recorder.stage(event(0))
    commit = asyncio.create_task(recorder.commit())
    await store.begun.wait()
    return recorder, commit


@pytest.mark.parametrize("done_first", [False, True])
def test_a_cancelled_commit_is_seen_through(*, done_first: bool) -> None:
    """A step's timeout that falls into an append must not end the run: the events land once, then the cancellation goes on."""

    async def scenario() -> None:
        store = SlowStore(done_first=done_first)
        recorder, commit = await committing(store)
        for _ in range(3):
            commit.cancel()
            await asyncio.sleep(0)
        store.go.set()
        with pytest.raises(asyncio.CancelledError):
            await commit
        recorder.stage(event(1))
        await recorder.commit()
        assert await details(store) == ["0", "1"]

    asyncio.run(scenario())


def test_a_commit_cancelled_between_two_tries_is_seen_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store was away when the step's time ran out."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", 3600)

    async def scenario() -> None:
        looked = asyncio.Event()
        fails = failing("append", Fault.NOT_DONE, 1, 1)

        def plan(method: str, number: int) -> Fault | None:
            if method == "head":
                looked.set()
            return fails(method, number)

        store = FaultyStore(MemoryStore(), plan)
        recorder = await recorder_on(store)
        recorder.stage(event(0))
        commit = asyncio.create_task(recorder.commit())
        await looked.wait()
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
        recorder.stage(event(1))
        await recorder.commit()
        assert await details(store) == ["0", "1"]

    asyncio.run(scenario())


def test_a_commit_cancelled_while_it_waits_leaves_its_events_to_the_next() -> None:
    """Nothing was handed to the store yet, so the cancellation goes through at once and the events stay staged."""

    async def scenario() -> None:
        store = SlowStore()
        recorder, first = await committing(store)
        recorder.stage(event(1))
        second = asyncio.create_task(recorder.commit())
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        store.go.set()
        await first
        assert await details(store) == ["0"]
        await recorder.commit()
        assert await details(store) == ["0", "1"]

    asyncio.run(scenario())


def test_a_recorder_that_is_closed_leaves_nothing_staged_and_stages_nothing_more() -> None:
    """A task that outlives the run may be in the middle of a commit, stage something meanwhile, or come to one later."""

    async def scenario() -> None:
        store = SlowStore()
        recorder, left = await committing(store)
        closing = asyncio.create_task(recorder.close())
        await asyncio.sleep(0)
        waited = not closing.done()
        recorder.stage(event(1))
        store.go.set()
        await closing
        assert waited
        assert left.done()
        assert (await details(store), recorder.state.seq) == (["0", "1"], 2)
        with pytest.raises(asyncio.CancelledError):
            recorder.stage(event(2))
        assert recorder.state.seq == 2
        await recorder.abandon()
        assert store.appends == 2

    asyncio.run(scenario())


def test_a_run_is_abandoned_once_the_commit_under_way_is_over() -> None:
    """What was staged behind it is not stored, nor is anything later, also if whoever waits is cancelled."""

    async def scenario(*, cancelled: bool) -> None:
        store = SlowStore()
        recorder, left = await committing(store)
        recorder.stage(event(1))
        later = asyncio.create_task(recorder.commit())
        abandoned = asyncio.create_task(recorder.abandon())
        await asyncio.sleep(0)
        waited = not abandoned.done()
        if cancelled:
            abandoned.cancel()
        store.go.set()
        await left
        await asyncio.wait([abandoned, later])
        assert (waited, abandoned.cancelled(), later.cancelled()) == (True, cancelled, True)
        with pytest.raises(asyncio.CancelledError):
            await recorder.commit()
        assert await details(store) == ["0"]

    asyncio.run(scenario(cancelled=False))
    asyncio.run(scenario(cancelled=True))
