"""Crossings are counted and named, and it is known where in the source they are."""

from __future__ import annotations

import asyncio
import inspect
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec

from durum.ports import ArtifactStore, EventStore, Message
from durum.stores.memory import MemoryStore
from durum.testing.conformance.contract import RUN, named, opening
from durum.testing.crash.boundaries import FILE_CALLS, WRITING, Boundaries, WatchedStore, call_site, watch_system
from durum.testing.crash.task import Crossing

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from durum.ports import StoredEvent

READING = {"worker", "head", "heads", "due", "read_range", "is_alive", "check_lease", "inbox", "addressed", "close"} | {
    "get",
    "get_many",
    "chunks",
    "exists",
}


def crossed(file: Path) -> list[Crossing]:
    """Return what a process crossed."""
    return [msgspec.json.decode(line, type=Crossing) for line in file.read_bytes().splitlines()]


def test_every_method_that_may_write_is_a_boundary() -> None:
    """Whatever a port of the stores has besides what only reads; what it will have one day as well."""
    methods = {name for port in (EventStore, ArtifactStore) for name in vars(port) if not name.startswith("_")}
    assert methods - READING == WRITING == {"claim", "append", "release", "send", "sync", "put", "put_stream"}
    assert all(inspect.iscoroutinefunction(getattr(MemoryStore, name)) for name in WRITING)


def test_calls_of_a_store_are_crossed_and_do_what_they_do(tmp_path: Path) -> None:
    """Each side of each writing call has a name that says what is written; readers pass; acknowledged events are told."""
    asyncio.run(calls_of_a_store(tmp_path))


async def calls_of_a_store(tmp_path: Path) -> None:
    """See the test above."""
    told: list[tuple[str, list[StoredEvent]]] = []
    boundaries = Boundaries(tmp_path / "crossings", None)
    store: Any = WatchedStore(MemoryStore(), boundaries, lambda run_id, events: told.append((run_id, events)))
    head = await store.claim(RUN, create=True)
    events = opening(b'{"kind":"run.started"}', b'{"kind":"state.entered","state_id":"a.b.main"}', b'{"kind":"domain"}')
    assert await store.append(RUN, 0, head.epoch, events[:1]) == 1
    assert await store.append(RUN, expected_seq=1, epoch=head.epoch, events=events[1:]) == 3
    await store.put(named(b"x"))
    assert await store.send(Message(RUN, "1", "cancel", b"{}"))
    await store.release(RUN, head.epoch)
    assert [event.seq for event in await store.read_range(RUN)] == [1, 2, 3]
    names = [crossing.name for crossing in crossed(tmp_path / "crossings") if crossing.when == "before"]
    assert names == [
        "claim",
        "append 1 (run.started)",
        "append 2 to 3 (state.entered b.main, domain)",
        "put",
        "send (cancel)",
        "release",
    ]
    assert [crossing.when for crossing in crossed(tmp_path / "crossings")] == ["before", "after"] * 6
    assert told == [(RUN, events[:1]), (RUN, events[1:])]


def test_a_call_is_placed_where_durum_makes_it() -> None:
    """The innermost line that is no standard library; other people's code is none of ours."""
    assert call_site() == ""


def test_an_effect_under_way_holds_a_kill_back(tmp_path: Path) -> None:
    """Whoever crosses meanwhile is marked, for no process would die there."""
    boundaries = Boundaries(tmp_path / "crossings", None)
    boundaries.begin_effect()
    boundaries.cross("claim", "before")
    boundaries.end_effect()
    boundaries.cross("claim", "after")
    assert [crossing.held for crossing in crossed(tmp_path / "crossings")] == [True, False]
    known = Boundaries(tmp_path / "known", None, inside=True)
    known.begin_effect()
    known.cross("claim", "before")
    assert [crossing.held for crossing in crossed(tmp_path / "known")] == [False]


def test_other_peoples_files_and_databases_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step does by itself is no boundary of Durum's; it works as ever."""
    for name in FILE_CALLS:
        monkeypatch.setattr(os, name, getattr(os, name))
    monkeypatch.setattr(sqlite3, "connect", sqlite3.connect)
    watch_system(Boundaries(tmp_path / "crossings", None))
    (tmp_path / "a").touch()
    (tmp_path / "a").rename(tmp_path / "b")
    connection = sqlite3.connect(tmp_path / "c", isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE t (a)")
    connection.execute("COMMIT")
    connection.close()
    assert (tmp_path / "b").exists()
    assert crossed(tmp_path / "crossings") == []
