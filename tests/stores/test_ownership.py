"""What a worker knows of its own runs without asking the store, and when it must ask."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from durum.errors import ConcurrencyError, NotFoundError, RunOwnedError, StoreUnavailableError
from durum.stores import worker_lock
from durum.stores.sqlite import SqliteStore
from durum.testing.conformance.contract import OTHER_RUN, RUN, begun, chained

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LEASE_SECONDS = 3600  # no heart beats by itself within a test


class Seconds:
    """Monotonic time that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(worker_lock, "now_ns", lambda: round(self.now * 1e9))

    def hang(self) -> None:
        """Let more than a lease pass without a beat of anyone's."""
        self.now += LEASE_SECONDS + 1


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    """Let time stand still."""
    return Seconds(monkeypatch)


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[SqliteStore, SqliteStore]]:
    """Open a store twice."""
    one, two = (SqliteStore(folder / "durum.db", lease_seconds=LEASE_SECONDS) for _ in range(2))
    try:
        yield one, two
    finally:
        await one.close()
        await two.close()


def asks(store: SqliteStore, epoch: int, run_id: str = RUN) -> bool:
    """Make sure of a run and return whether the store had to be asked."""
    asked: list[str] = []
    connection = store._database.connection
    assert connection is not None
    connection.set_trace_callback(asked.append)
    try:
        store.check_lease(run_id, epoch)
    finally:
        connection.set_trace_callback(None)
    return bool(asked)


def test_while_the_heart_beats_in_time_the_store_is_not_asked(tmp_path: Path, seconds: Seconds) -> None:
    """Two thirds of the lease after the last beat it is, once, and without a write; that beat counts from then on."""

    async def scenario() -> None:
        async with pair(tmp_path) as (owner, other):
            head = await begun(owner, b"1")
            assert not asks(owner, head.epoch)
            seconds.now += LEASE_SECONDS * 2 / 3
            assert not asks(owner, head.epoch)
            seconds.now += 1
            before = changes(owner)
            assert asks(owner, head.epoch)
            assert changes(owner) == before
            assert not asks(owner, head.epoch)
            seconds.now += LEASE_SECONDS / 2
            with pytest.raises(RunOwnedError):
                await other.claim(RUN)

    asyncio.run(scenario())


def changes(store: SqliteStore) -> int:
    """Return how many rows a handle has changed so far."""
    assert store._database.connection is not None
    return store._database.connection.total_changes


def test_after_a_gap_the_store_is_asked_though_the_heart_beats_again(tmp_path: Path, seconds: Seconds) -> None:
    """The thread may beat before anyone else runs: what it does not know is whether somebody came in between."""

    async def scenario() -> None:
        async with pair(tmp_path) as (owner, _):
            epoch, other_epoch = (await begun(owner, b"1")).epoch, (await begun(owner, b"1", run_id=OTHER_RUN)).epoch
            seconds.hang()
            owner._ownership.lock.beat()
            assert asks(owner, epoch)
            assert not asks(owner, epoch)
            assert asks(owner, other_epoch, OTHER_RUN)
            later = await begun(owner, b"1", run_id=RUN[:-1] + "9")
            assert not asks(owner, later.epoch, later.run_id)

    asyncio.run(scenario())


def test_who_was_robbed_is_told_before_it_acts(tmp_path: Path, seconds: Seconds) -> None:
    """By whatever way it looks first; the thief may act at once, and is not robbed back."""

    async def scenario() -> None:
        async with pair(tmp_path) as (owner, thief):
            before = await begun(owner, b"1")
            seconds.hang()
            thief._ownership.lock.beat()
            head = await thief.claim(RUN)
            assert (head.epoch, head.strikes) == (before.epoch + 1, 1)
            for _ in range(2):
                with pytest.raises(ConcurrencyError) as told:
                    owner.check_lease(RUN, before.epoch)
                assert (told.value.epoch, told.value.actual_epoch) == (before.epoch, head.epoch)
            with pytest.raises(ConcurrencyError):
                await owner.append(RUN, 1, before.epoch, chained(before.hash, 2, b"late"))
            assert not asks(thief, head.epoch)
            with pytest.raises(RunOwnedError):
                await owner.claim(RUN)

    asyncio.run(scenario())


def test_nobody_takes_itself_for_hung(tmp_path: Path, seconds: Seconds) -> None:
    """A process that just went on must not adopt from itself what it drives in another task."""

    async def scenario() -> None:
        async with pair(tmp_path) as (owner, other):
            await begun(owner, b"1")
            worker = owner.worker
            seconds.hang()
            assert (await owner.is_alive(worker), await other.is_alive(worker)) == (True, False)
            assert await owner.due(0) == []
            assert [run.orphaned for run in await other.due(0)] == [True]
            with pytest.raises(RunOwnedError):
                await owner.claim(RUN)

    asyncio.run(scenario())


def test_a_release_that_could_not_be_stored_makes_the_run_due_here(tmp_path: Path) -> None:
    """Others rely on this worker, who knows better; its claim is no strike."""

    async def scenario() -> None:
        async with pair(tmp_path) as (owner, other):
            epoch = (await begun(owner, b"1")).epoch
            await begun(owner, b"1", run_id=OTHER_RUN)
            blocker = sqlite3.connect(tmp_path / "durum.db")
            blocker.execute("BEGIN IMMEDIATE")
            assert owner._database.connection is not None
            owner._database.connection.execute("PRAGMA busy_timeout = 1")
            with pytest.raises(StoreUnavailableError):
                await owner.release(RUN, epoch)
            blocker.close()
            assert [run.run_id for run in await owner.due(0)] == [RUN]
            assert await other.due(0) == []
            assert (await owner.claim(RUN)).strikes == 0
            assert await owner.due(0) == []

    asyncio.run(scenario())


def test_a_run_that_was_never_there_is_nobodys(tmp_path: Path) -> None:
    """It is told as such, not as lost."""

    async def scenario() -> None:
        async with pair(tmp_path) as (owner, _):
            with pytest.raises(NotFoundError):
                owner.check_lease(RUN, 1)

    asyncio.run(scenario())


def test_who_cannot_leave_a_sign_of_life_may_not_act(tmp_path: Path, seconds: Seconds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the store says now: others will take it for hung any moment."""

    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    async def scenario() -> None:
        async with pair(tmp_path) as (owner, _):
            head = await begun(owner, b"1")
            monkeypatch.setattr(os, "pwrite", broken)
            assert not asks(owner, head.epoch)
            seconds.hang()
            with pytest.raises(StoreUnavailableError, match="no sign of life"):
                owner.check_lease(RUN, head.epoch)
            monkeypatch.undo()

    asyncio.run(scenario())


def test_strikes_add_up_from_owner_to_owner(tmp_path: Path) -> None:
    """Until one of them lets go of the run in peace."""

    async def scenario() -> list[int]:
        seen = []
        for _ in range(4):
            store = SqliteStore(tmp_path / "durum.db")
            seen.append((await store.claim(RUN, create=True)).strikes)
            await store.close()
        async with pair(tmp_path) as (owner, _):
            head = await owner.claim(RUN)
            await owner.release(RUN, head.epoch)
            seen += [head.strikes, (await owner.claim(RUN)).strikes]
        return seen

    assert asyncio.run(scenario()) == [0, 1, 2, 3, 4, 0]
