"""When a transaction counts as durable: SQLite's own sync, or one that goes on behind it and is waited for before the next."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import sqlite3
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from durum.errors import StoreUnavailableError
from durum.stores import database, log_sync, sqlite_file
from durum.stores.database import Database
from durum.stores.log_sync import LogSync
from durum.stores.sqlite_file import Durability

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def defer(opened: Database) -> None:
    """Leave a sync under way; the first of a connection is SQLite's own."""
    while opened._log_sync is None or not opened._log_sync.under_way:
        opened.transact(bump, sync=False)


def count(connection: sqlite3.Connection) -> int:
    """Return how often that was done."""
    (value,) = connection.execute("SELECT count(*) FROM artifacts").fetchone()
    return int(value)


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


def fill(connection: sqlite3.Connection) -> int:
    """Write 256 KiB, and return what SQLite was told."""
    connection.execute(
        "INSERT INTO artifacts (digest, kind, size, data) VALUES (randomblob(32), 'other', 1 << 18, zeroblob(1 << 18))"
    )
    return synchronous(connection)


def moves(monkeypatch: pytest.MonkeyPatch, opened: Database) -> list[bool]:
    """Return, for each time that the log is moved from now on, whether a sync was under way."""
    seen: list[bool] = []
    real = sqlite_file.move_log

    def noted(connection: sqlite3.Connection) -> None:
        seen.append(opened._log_sync is not None and opened._log_sync.under_way)
        real(connection)

    monkeypatch.setattr(database, "move_log", noted)
    return seen


@pytest.mark.parametrize("sync", [False, True])
def test_a_log_that_grew_long_is_moved_and_begun_anew(opened: Database, monkeypatch: pytest.MonkeyPatch, *, sync: bool) -> None:
    """By a transaction that waits: if a sync under way failed, what is moved could be newer than the disk's log."""
    seen = moves(monkeypatch, opened)
    log = sqlite_file.log_of(opened.path)
    longest, told = 0, []
    for _ in range(100):
        told.append(opened.transact(fill, sync=sync))
        longest = max(longest, log.stat().st_size)
    assert longest < 1.2 * sqlite_file._LOG_BYTES
    assert seen == [False] * len(seen)
    assert 4 <= len(seen) <= 8
    assert opened.path.stat().st_size > 18 << 20
    if sys.platform == "linux" and not sync:
        assert told.count(FULL) == len(seen) + 1  # and the first of a connection


@pytest.mark.parametrize("sync", [False, True])
def test_a_log_that_somebody_reads_is_moved_as_soon_as_nobody_does(opened: Database, *, sync: bool) -> None:
    """It grows meanwhile; whoever writes waits for each commit and tries to move it again."""
    log = sqlite_file.log_of(opened.path)
    with contextlib.closing(sqlite3.connect(opened.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        count(reader)
        told = [opened.transact(fill, sync=sync) for _ in range(40)]
        assert told[-10:] == [FULL] * 10
        assert log.stat().st_size > 2 * sqlite_file._LOG_BYTES
        reader.execute("COMMIT")
        for _ in range(3):
            opened.transact(fill, sync=sync)
        assert log.stat().st_size <= 1.1 * sqlite_file._LOG_BYTES


def test_a_log_that_could_not_be_moved_is_heard_of(opened: Database) -> None:
    """Before anything is written; what was moved before may have gone with it, so all of the database is written anew, once."""
    real: Any = opened.connection
    said: list[str] = []
    while not sqlite_file.is_log_long(opened.path):
        opened.transact(fill)
    pages = opened.path.stat().st_size // 4096

    class Failing:
        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
            said.append(statement)
            if "wal_checkpoint" in statement:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR
                raise error
            done: sqlite3.Cursor = real.execute(statement, *parameters)
            return done

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    opened.connection = Failing()  # type: ignore[assignment]
    with pytest.raises(StoreUnavailableError, match="the disk reports an error"):
        opened.transact(bump)
    assert said == ["PRAGMA wal_checkpoint(PASSIVE)"]
    with opened as connection:
        assert count(connection) >= 1
    assert said[1:3] == ["VACUUM", "BEGIN IMMEDIATE"]
    assert sqlite_file.log_of(opened.path).stat().st_size > 4096 * pages
    opened.connection = real
    said.clear()
    assert opened.transact(bump) == FULL
    assert said == []


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


class Interrupting:
    """A connection behind one of whose statements comes a signal whose handler raises, or another error."""

    def __init__(self, connection: sqlite3.Connection, statement: str, error: BaseException | None = None) -> None:
        self._connection = connection
        self._statement = statement
        self._error = KeyboardInterrupt() if error is None else error

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        """Execute, and raise."""
        if statement == self._statement:
            self._connection.execute(statement, *parameters)
            raise self._error
        return self._connection.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


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


def test_a_log_is_kept_whose_moved_part_the_disk_may_lack(opened: Database) -> None:
    """The last that is closed would have it removed: if nothing can be written now it stays open while this process lives."""
    opened.transact(bump)
    healthy: Any = opened.connection
    opened.connection = Interrupting(healthy, "VACUUM", sqlite3.OperationalError("disk I/O error"))  # type: ignore[assignment]
    opened._moved_in_doubt = True
    kept = weakref.ref(opened.connection)
    opened.close()
    gc.collect()
    assert kept() is not None
    assert sqlite_file.log_of(opened.path).exists()
    healthy.close()


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


def test_a_log_that_went_with_its_last_connection_is_gone_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder is synced, by the last only: a log that comes back could cover newer pages with older ones.

    Whoever wrote nothing cannot know whether the disk has the log; should it be the last, that is moved, so it is written anew.
    """
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(str(Path(f"/proc/self/fd/{file}").readlink())))
    one, two = (
        Database(tmp_path / "durum.db", create=True, durability=Durability.FULL, rolled_back=lambda: None) for _ in "12"
    )
    two.transact(bump)
    synced.clear()
    one.close()
    assert synced == [str(tmp_path / "durum.db-wal")]
    two.close()
    assert synced[1:] == [str(tmp_path)]


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
