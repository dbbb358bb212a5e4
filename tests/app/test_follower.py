"""A log is read on, never again, and what does not follow from what was read is found."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from durum.app.follower import Follower
from durum.errors import CorruptionError, NotFoundError, StoreUnavailableError
from tests.engine.runs import run
from tests.engine.states import plan_of, writes

if TYPE_CHECKING:
    from durum.ports import StoredEvent


class Growing:
    """A store in which one more event of a finished log can be seen at each read; remembers what was asked for."""

    def __init__(self, log: list[StoredEvent]) -> None:
        self._log = log
        self.shown = 0
        self.asked: list[int] = []
        self.away = False

    async def read_range(self, run_id: str, from_seq: int = 1, to_seq: int | None = None) -> list[StoredEvent]:
        """Return what can be seen so far."""
        del run_id, to_seq
        if self.away:
            raise StoreUnavailableError("memory", "it is busy")
        self.asked.append(from_seq)
        return [event for event in self._log[: self.shown] if event.seq >= from_seq]


def growing() -> tuple[Growing, str, int]:
    """Return such a store, its run and how many events it has."""
    ran = run(plan_of({"one": writes(a=1), "two": writes(b=2)}, {"two": "one"}))
    log = asyncio.run(ran.service._store.read_range(ran.id))
    return Growing(log), ran.id, len(log)


def test_only_what_is_new_is_read() -> None:
    """Each read begins behind the last event; every event comes once, in order; the last one ends it."""
    store, run_id, count = growing()
    follower = Follower(store, run_id, 3)  # type: ignore[arg-type]
    seqs: list[object] = []
    while not follower.over:
        store.shown += 1
        seqs += [row["seq"] for row in follower.more()]
        assert follower.more() == []
    assert seqs == [*range(3, count + 1)]
    assert store.asked == sorted([*range(1, count + 1), *range(2, count + 2)])


def test_a_store_that_is_away_costs_no_event() -> None:
    """It is asked again from the same place."""
    store, run_id, count = growing()
    follower = Follower(store, run_id)  # type: ignore[arg-type]
    store.shown, store.away = 2, True
    with pytest.raises(StoreUnavailableError):
        follower.more()
    store.away = False
    assert [row["seq"] for row in follower.more()] == [1, 2]
    store.shown = count
    assert [row["seq"] for row in follower.more()] == [*range(3, count + 1)]


def test_an_event_that_does_not_follow_is_found() -> None:
    """The chain is checked across reads; a run without events is none."""
    store, run_id, _ = growing()
    follower = Follower(store, run_id)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        follower.more()
    store.shown = 2
    follower.more()
    del store._log[2]
    store.shown = 4
    with pytest.raises(CorruptionError):
        follower.more()
