"""When a transaction counts as durable: SQLite's own sync, or one that goes on behind it and is waited for before the next."""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING, Any

import pytest

from durum.errors import StoreUnavailableError
from durum.stores import database, log_sync, sqlite_file
from durum.stores.database import Database
from durum.stores.log_sync import LogSync
from durum.stores.sqlite_file import Durability

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

FULL, NORMAL = 2, 1


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Database]:
    """Give a database."""
    made = Database(tmp_path / "durum.db", create=True, durability=Durability.FULL, rolled_back=lambda: None)
    yield made
    made.close()


def synchronous(connection: sqlite3.Connection) -> int:
    """Return what SQLite was told."""
    (value,) = connection.execute("PRAGMA synchronous").fetchone()
    return int(value)


def bump(connection: sqlite3.Connection) -> int:
    """Write something, and return what SQLite was told."""
    connection.execute("INSERT INTO artifacts (digest, kind, size, data) VALUES (randomblob(32), 'other', 0, x'')")
    return synchronous(connection)


def count(connection: sqlite3.Connection) -> int:
    """Return how often that was done."""
    (value,) = connection.execute("SELECT count(*) FROM artifacts").fetchone()
    return int(value)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
def test_a_transaction_that_need_not_wait_has_its_sync_behind_it(opened: Database) -> None:
    """The next one waits for it first, whichever kind that is; one that must wait lets SQLite sync, which syncs all."""
    assert opened.transact(bump) == FULL
    assert opened.transact(bump, sync=False) == NORMAL
    behind = opened._log_sync
    assert behind is not None
    assert behind.under_way
    assert opened.transact(lambda connection: (synchronous(connection), behind.under_way), sync=False) == (NORMAL, False)
    assert behind.under_way
    assert opened.transact(lambda connection: (synchronous(connection), behind.under_way)) == (FULL, False)
    assert not behind.under_way


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
def test_all_that_is_stored_can_be_waited_for(opened: Database) -> None:
    """With nothing written: no transaction, and no work if there is nothing to wait for."""
    opened.sync()
    opened.transact(bump, sync=False)
    opened.sync()
    assert opened._log_sync is not None
    assert not opened._log_sync.under_way


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
@pytest.mark.parametrize("way", ["transaction", "unsynced transaction", "sync"])
def test_a_sync_that_failed_is_told_to_the_next_who_writes(way: str, opened: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written; then the file is opened anew, and what was in doubt is written through."""
    written_anew: list[bool] = []
    real = sqlite_file.reopen_database

    def reopened(path: Path, *, durability: Durability, in_doubt: bool) -> sqlite3.Connection:
        written_anew.append(in_doubt)
        return real(path, durability=durability, in_doubt=in_doubt)

    def failed(sync: LogSync) -> None:
        if sync.under_way:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(database, "reopen_database", reopened)
    opened.transact(bump, sync=False)
    with monkeypatch.context() as patch:
        patch.setattr(LogSync, "wait", failed)
        with pytest.raises(StoreUnavailableError, match="the disk reports an error"):
            opened.sync() if way == "sync" else opened.transact(bump, sync=way == "transaction")
    assert opened.transact(count) == 1
    assert written_anew == [True]
    assert opened.transact(bump, sync=False) == NORMAL


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
def test_a_connection_that_is_let_go_with_a_sync_under_way_leaves_a_doubt(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked what became of it."""
    monkeypatch.setattr(LogSync, "wait", lambda _: None)
    opened.transact(bump, sync=False)
    opened.let_go()
    assert opened._in_doubt


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
def test_a_doubt_of_others_is_seen_by_whoever_waits_for_the_disk(opened: Database) -> None:
    """A thread was told that a sync failed; the run that stored what it concerns asks later, and it is written anew."""
    opened.transact(bump, sync=False)
    opened.let_go()
    opened._in_doubt = True
    opened.sync()
    assert (opened.connection is not None, opened._in_doubt) == (True, False)


class Interrupting:
    """A connection behind one of whose statements comes a signal whose handler raises."""

    def __init__(self, connection: sqlite3.Connection, statement: str) -> None:
        self._connection = connection
        self._statement = statement

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        """Execute, and raise."""
        done = self._connection.execute(statement, *parameters)
        if statement == self._statement:
            raise KeyboardInterrupt
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("statement", ["PRAGMA synchronous = {}", "BEGIN IMMEDIATE", "COMMIT"])
def test_a_signal_at_any_point_leaves_a_database_that_is_sound(statement: str, opened: Database, *, sync: bool) -> None:
    """Its exception goes on as it is; nothing stays open, and what must be durable afterwards is synced by SQLite."""
    opened.transact(bump, sync=not sync)
    assert opened.connection is not None
    statement = statement.format("FULL" if sync else "NORMAL")
    healthy: Any = opened.connection
    opened.connection = Interrupting(healthy, statement)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        opened.transact(bump, sync=sync)
    assert opened._in_doubt is (statement == "COMMIT" and not sync)
    if statement != "COMMIT":
        opened.connection = healthy
    opened.sync()
    assert opened.transact(count) == (2 if statement == "COMMIT" else 1)
    assert opened.transact(bump) == FULL
    assert opened.transact(bump, sync=False) == NORMAL
    assert opened.transact(bump) == FULL


def test_where_the_system_cannot_sync_behind_every_transaction_waits(opened: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried once."""
    monkeypatch.setattr(log_sync, "_KNOWN", False)
    for _ in range(2):
        assert opened.transact(bump, sync=False) == FULL
    monkeypatch.undo()
    assert opened.transact(bump, sync=False) == FULL


def test_weaker_durability_syncs_nothing_behind(tmp_path: Path) -> None:
    """Whoever asked for that waits for no disk, and keeps none busy."""
    opened = Database(tmp_path / "durum.db", create=True, durability=Durability.NORMAL, rolled_back=lambda: None)
    assert [opened.transact(bump, sync=sync) for sync in (True, False)] == [NORMAL, NORMAL]
    assert opened._log_sync is None
    opened.close()
