"""When a transaction counts as durable: SQLite's own sync, or one that goes on behind it and is waited for before the next."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import pytest

from durum.errors import StoreUnavailableError
from durum.stores import database, log_sync, sqlite_file
from durum.stores.database import Database
from durum.stores.log_sync import LogSync
from durum.stores.sqlite_file import Durability
from tests.stores.databases import FULL, NORMAL, Failing, Interrupting, bump, count, fill, synchronous

if TYPE_CHECKING:
    from pathlib import Path


def defer(opened: Database) -> None:
    """Leave a sync under way; the first of a connection is SQLite's own."""
    while opened._log_sync is None or not opened._log_sync.under_way:
        opened.transact(bump, sync=False)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
def test_a_transaction_that_need_not_wait_has_its_sync_behind_it(opened: Database) -> None:
    """One that must wait waits for that sync and lets SQLite make its own."""
    assert opened.transact(bump) == FULL
    assert opened.transact(bump, sync=False) == FULL  # once: SQLite's descriptor knows of every sync that ever failed
    assert opened.transact(bump, sync=False) == NORMAL
    behind = opened._log_sync
    assert behind is not None
    assert behind.under_way
    for _ in range(10):
        assert opened.transact(bump, sync=False) == NORMAL
    assert opened.transact(lambda connection: (synchronous(connection), behind.under_way)) == (FULL, False)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
def test_all_that_is_stored_can_be_waited_for(opened: Database) -> None:
    """With nothing written: no transaction, and no work if there is nothing to wait for."""
    opened.sync()
    defer(opened)
    opened.sync()
    assert opened._log_sync is not None
    assert not opened._log_sync.under_way


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
@pytest.mark.parametrize("way", ["transaction", "unsynced transactions", "sync"])
def test_a_sync_that_failed_is_told_to_one_who_writes_or_waits(
    way: str, opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To who waits before anything is written, to others soon; then the file is opened anew, and what was in doubt with it."""
    written_anew: list[bool] = []
    real = sqlite_file.reopen_database
    done: list[int] = []

    def reopened(path: Path, *, durability: Durability, in_doubt: bool) -> sqlite3.Connection:
        written_anew.append(in_doubt)
        return real(path, durability=durability, in_doubt=in_doubt)

    def failed(_: LogSync) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def go_on() -> None:
        for _ in range(log_sync._MOST_AT_ONCE):  # so many may be ahead of the disk
            opened.transact(lambda connection: done.append(bump(connection)), sync=way == "transaction")

    monkeypatch.setattr(database, "reopen_database", reopened)
    defer(opened)
    with monkeypatch.context() as patch:
        patch.setattr(LogSync, "_end_first", failed)
        with pytest.raises(StoreUnavailableError, match="the disk reports an error"):
            opened.sync() if way == "sync" else go_on()
    assert bool(done) is (way == "unsynced transactions")
    assert opened.transact(count) == 2 + len(done)
    assert written_anew == [True]
    defer(opened)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
def test_a_connection_that_is_let_go_with_a_sync_under_way_leaves_a_doubt(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked what became of it."""
    defer(opened)
    monkeypatch.setattr(LogSync, "wait", lambda _: None)
    opened.let_go()
    assert opened._in_doubt


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
def test_a_doubt_of_others_is_seen_by_whoever_waits_for_the_disk(opened: Database) -> None:
    """A thread was told that a sync failed; the run that stored what it concerns asks later, and it is written anew."""
    defer(opened)
    opened.let_go()
    opened._in_doubt = True
    opened.sync()
    assert (opened.connection is not None, opened._in_doubt) == (True, False)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every commit waits")
@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize(
    "statement", ["PRAGMA synchronous = {}", "BEGIN IMMEDIATE", "COMMIT", "PRAGMA wal_checkpoint(PASSIVE)"]
)
def test_a_signal_at_any_point_leaves_a_database_that_is_sound(statement: str, opened: Database, *, sync: bool) -> None:
    """Its exception goes on as it is; nothing stays open, and what must be durable afterwards is synced by SQLite."""
    defer(opened)
    if not sync:
        opened.transact(bump)
    while "checkpoint" in statement and not sqlite_file.is_log_long(opened.path):
        opened.transact(fill, sync=False)
    with opened as connection:
        before = count(connection)
    statement = statement.format("FULL" if sync else "NORMAL")
    healthy: Any = opened.connection
    opened.connection = Interrupting(healthy, statement)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        opened.transact(bump, sync=sync)
    assert opened._in_doubt is (statement == "COMMIT" and not sync)
    if statement != "COMMIT":
        opened.connection = healthy
    opened.sync()
    assert opened.transact(count) == before + (statement == "COMMIT")
    assert opened.transact(bump) == FULL
    defer(opened)
    assert opened.transact(bump) == FULL


def rewrites(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the stores whose logs are written anew from now on."""
    seen: list[Path] = []
    real = sqlite_file.write_anew

    def noted(connection: sqlite3.Connection, path: Path) -> None:
        seen.append(path)
        real(connection, path)

    monkeypatch.setattr(database, "write_anew", noted)
    return seen


def test_a_connection_that_was_opened_again_relies_on_nothing_it_finds(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system tells a descriptor of no sync that failed before it was opened, so the log is written anew, once."""
    opened.transact(bump)
    seen = rewrites(monkeypatch)
    opened.transact(bump)
    assert seen == []
    opened.let_go()
    for _ in range(2):
        opened.transact(bump)
    assert len(seen) == 1


def test_a_doubt_is_removed_where_it_can_be_before_a_connection_is_closed(opened: Database) -> None:
    """For the last to close has the log moved; also if the transaction that failed is still open."""
    opened.transact(bump)
    said: list[str] = []
    real: Any = opened.connection

    opened.connection = Failing(real, {"COMMIT"}, said)  # type: ignore[assignment]
    with pytest.raises(StoreUnavailableError, match="the disk reports an error"):
        opened.transact(bump)
    assert said[said.index("COMMIT") + 1 :] == ["ROLLBACK", "PRAGMA busy_timeout = 0", "BEGIN IMMEDIATE", "ROLLBACK"]
    assert opened.transact(count) == 1


def test_a_store_that_is_locked_for_a_while_keeps_its_connection(opened: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing began, so nothing is in doubt, and the log need not be written anew."""
    opened.transact(bump)
    seen = rewrites(monkeypatch)
    connection = opened.connection
    assert connection is not None
    connection.execute("PRAGMA busy_timeout = 1")
    with contextlib.closing(sqlite3.connect(opened.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="keeps it locked"):
            opened.transact(bump)
    opened.transact(bump)
    assert (seen, opened.connection is connection) == ([], True)


def test_a_signal_while_a_log_is_written_anew_leaves_no_lock(opened: Database) -> None:
    """Whether it comes right behind the lock or later."""
    healthy: Any = opened.connection
    with pytest.raises(KeyboardInterrupt):
        sqlite_file.write_anew(Interrupting(healthy, "BEGIN IMMEDIATE"), opened.path)  # type: ignore[arg-type]
    assert not healthy.in_transaction
    assert opened.transact(bump) == FULL


def test_a_store_that_took_the_place_of_another_is_not_written_to(opened: Database, tmp_path: Path) -> None:
    """Not even its log, by a handle that wrote nothing yet."""
    (tmp_path / "durum.db").rename(tmp_path / "elsewhere.db")
    other = Database(tmp_path / "durum.db", create=True, durability=Durability.FULL, rolled_back=lambda: None)
    other.transact(bump)
    log = (tmp_path / "durum.db-wal").read_bytes()
    with pytest.raises(StoreUnavailableError, match="moved"):
        opened.transact(bump)
    assert (tmp_path / "durum.db-wal").read_bytes() == log
    other.close()


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
