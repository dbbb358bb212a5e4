"""Commits that runs share, on the real store: what came to nothing leaves nothing that another run is taken for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from durum.errors import StoreUnavailableError
from durum.ports import Message
from durum.stores.sqlite import SqliteStore
from durum.testing.conformance.contract import OTHER_RUN, RUN, opening
from tests.stores.test_sqlite import fail_commit, open_twice

if TYPE_CHECKING:
    from pathlib import Path

HELD = tuple(f"01890a5d-ac96-774b-bcce-b30209900{place:03}" for place in range(2))


def test_a_run_that_came_to_nothing_is_not_taken_for_the_next(tmp_path: Path) -> None:
    """Its row was never stored, and a run of another process got that place: no event of one lands in the other's log."""

    async def scenario() -> None:
        async with open_twice(tmp_path / "durum.db") as (store, other):
            for run_id in HELD:  # from two on, commits are shared
                await store.claim(run_id, create=True)
            fail_commit(store, done=False)
            claim, letter = store.claim(RUN, create=True), store.send(Message(RUN, "letter", "cancel", b"{}"))
            lost = await asyncio.gather(claim, letter, return_exceptions=True)
            assert [type(error) for error in lost] == [StoreUnavailableError] * 2
            await other.claim(OTHER_RUN, create=True)
            head = await store.claim(RUN, create=True)
            assert await store.append(RUN, 0, head.epoch, opening(b"mine", run_id=RUN)) == 1
            assert len(await other.read_range(RUN)) == 1
            assert await other.read_range(OTHER_RUN) == []
            theirs = await other.head(OTHER_RUN)
            assert theirs is not None
            assert theirs.seq == 0

    asyncio.run(scenario())


def test_a_file_that_was_moved_is_missed_by_the_next_commit(tmp_path: Path) -> None:
    """However soon that comes: what is written to a file nobody finds any more is not acknowledged."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "durum.db")
        head = await store.claim(RUN, create=True)
        (tmp_path / "durum.db").rename(tmp_path / "elsewhere.db")
        with pytest.raises(StoreUnavailableError, match="put it back"):
            await store.append(RUN, 0, head.epoch, opening(b"mine"))
        await store.close()

    asyncio.run(scenario())


def test_a_run_that_is_alone_commits_where_it_stands(tmp_path: Path) -> None:
    """It suspends nobody: the coroutine ends at its first step, and the events are there for others."""

    async def scenario() -> None:
        async with open_twice(tmp_path / "durum.db") as (store, other):
            head = await store.claim(RUN, create=True)
            work = store.append(RUN, 0, head.epoch, opening(b"mine"))
            with pytest.raises(StopIteration) as stop:
                work.send(None)
            assert stop.value.value == len(await other.read_range(RUN)) == 1

    asyncio.run(scenario())
