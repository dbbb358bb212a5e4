"""A commit that need not wait for the disk: who comes after it waits, and whoever watches is never told too early."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from durum.engine import recorder as module
from durum.errors import StoreUnavailableError
from durum.stores.memory import MemoryStore
from durum.testing.faulty import Fault, FaultyStore, failing
from tests.engine.test_recorder import event, recorder_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.events import Envelope
    from durum.ports import Artifact, StoredEvent


class SyncedStore(MemoryStore):
    """Notes what it was asked to make durable."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bool | str] = []

    async def append(
        self,
        run_id: str,
        expected_seq: int,
        epoch: int,
        events: Sequence[StoredEvent],
        artifacts: Sequence[Artifact] = (),
        consumed: Sequence[str] = (),
        *,
        sync: bool = True,
    ) -> int:
        """Append, and note whether that had to be durable."""
        self.asked.append(sync)
        return await super().append(run_id, expected_seq, epoch, events, artifacts, consumed, sync=sync)

    async def sync(self) -> None:
        """Note it."""
        self.asked.append("sync")


def test_what_must_be_durable_is_synced_though_nothing_is_staged() -> None:
    """Once: what is durable needs no second sync, and what was stored with the store waiting none at all."""

    async def scenario() -> None:
        store = SyncedStore()
        recorder = await recorder_on(store)
        recorder.stage(event(0))
        await recorder.commit(sync=False)
        await recorder.commit(sync=False)
        assert store.asked == [False]
        await recorder.commit()
        await recorder.commit()
        assert store.asked == [False, "sync"]
        recorder.stage(event(1))
        await recorder.commit(sync=False)
        recorder.stage(event(2))
        await recorder.commit()
        await recorder.commit()
        assert store.asked == [False, "sync", False, True]

    asyncio.run(scenario())


def test_a_run_that_is_watched_waits_for_every_commit() -> None:
    """Its watcher may act on what it is told, and is to be told soon."""

    async def scenario() -> None:
        store, told = SyncedStore(), list[int]()

        def watch(envelope: Envelope) -> None:
            told.append(envelope.seq)

        recorder = await recorder_on(store, watch)
        recorder.stage(event(0))
        await recorder.commit(sync=False)
        assert (store.asked, told) == ([True], [1])

    asyncio.run(scenario())


def test_what_was_given_up_before_the_disk_had_it_is_synced() -> None:
    """A recorder that is closed owes nothing."""

    async def scenario() -> None:
        store = SyncedStore()
        recorder = await recorder_on(store)
        recorder.stage(event(0))
        await recorder.commit(sync=False)
        await recorder.close()
        assert store.asked == [False, "sync"]

    asyncio.run(scenario())


def test_a_sync_that_failed_once_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store writes anew what is in doubt when it is asked again."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0)

    async def scenario() -> None:
        store = FaultyStore(MemoryStore(), failing("sync", Fault.NOT_DONE, 1, 1))
        recorder = await recorder_on(store)
        recorder.stage(event(0))
        await recorder.commit(sync=False)
        await recorder.commit()
        await recorder.commit()
        assert store.calls["sync"] == 2

    asyncio.run(scenario())


def test_a_sync_that_keeps_failing_ends_the_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever drives the run on finds out what the disk has."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0)

    async def scenario() -> None:
        recorder = await recorder_on(FaultyStore(MemoryStore(), failing("sync", Fault.NOT_DONE)))
        recorder.stage(event(0))
        await recorder.commit(sync=False)
        with pytest.raises(StoreUnavailableError):
            await recorder.commit()
        with pytest.raises(StoreUnavailableError):
            recorder.stage(event(1))

    asyncio.run(scenario())
