"""One SQLite file: lends its connection to one thread at a time, and knows from when on a transaction counts as durable."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from durum.errors import CorruptionError
from durum.stores.log_sync import LogSync
from durum.stores.outage import handle_closed, is_busy, is_of_the_disk, moved, place_of, unavailable
from durum.stores.sqlite_file import (
    Durability,
    close_database,
    is_log_long,
    log_of,
    move_log,
    note_of_doubt,
    open_database,
    refuse_a_link_to_nothing,
    reopen_database,
    write_all_anew,
    write_anew,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

T = TypeVar("T")


class Database:
    """A context manager that is used again and again; a generator made for each use would cost more than many a statement."""

    def __init__(self, path: Path, *, create: bool, durability: Durability, rolled_back: Callable[[], None]) -> None:
        """Open the file ``path`` names; ``rolled_back`` is called after a transaction that came to nothing."""
        self._named = str(path.absolute())  # the working directory may change; a link, too, and that is noticed
        self.path = Path(os.path.realpath(path))
        refuse_a_link_to_nothing(path)
        self.connection: sqlite3.Connection | None = open_database(self.path, create=create, durability=durability)
        self.mutex = threading.RLock()
        self._durability = durability
        self._rolled_back = rolled_back
        self._in_doubt = False  # whether what the last commit wrote can be relied on if it is there
        self._moved_in_doubt = False  # whether the disk has what was moved from the log into the file before
        self._found = True  # what the store holds was written by others, on whose fsyncs nobody may rely
        self._may_defer = durability is Durability.FULL
        self._closed = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._place, self._syncs = place_of(str(self.path)), True
        self._log_sync: LogSync | None = None

    # --- lending ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> sqlite3.Connection:
        self.mutex.acquire()
        try:
            if self.connection is None:
                if self._closed:
                    raise handle_closed(str(self.path))
                self._begin_anew()
                if place_of(self._named) != self._place:
                    raise moved(self.path)
                self.connection = reopen_database(self.path, durability=self._durability, in_doubt=self._in_doubt)
                self._found = self._found or not self._in_doubt  # its descriptors are told of no fsync that failed before
                self._in_doubt = False
            return self.connection
        except BaseException as error:
            self.mutex.release()
            self._explain(error)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.mutex.release()
        if error is not None:
            self._explain(error)

    def _explain(self, error: BaseException) -> None:
        """Raise what a person is told in place of an error of SQLite or the system."""
        if isinstance(error, sqlite3.OperationalError | OSError):
            raise unavailable(self.path, error) from error
        if isinstance(error, sqlite3.DatabaseError):
            raise CorruptionError(f"store {self.path}", str(error)) from error

    def let_go(self) -> None:
        """Close the connection; the next use opens another, which reads anew what the file holds."""
        self._in_doubt = self._in_doubt or (self._log_sync is not None and self._log_sync.under_way)
        connection, self.connection = self.connection, None
        self._rolled_back()  # what was found inside a transaction that came to nothing may not be so next time
        if self._log_sync is not None:
            self._log_sync.close()
            self._log_sync = None
        if connection is not None:
            with contextlib.suppress(OSError, sqlite3.Error):
                self._close(connection)

    def _close(self, connection: sqlite3.Connection) -> None:
        """Close a connection. If it is the last, SQLite moves the log and removes it: not before the disk has all of it."""
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if self._is_moved_in_doubt():
            try:
                self._write_all_anew(connection)
            except BaseException:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))  # left open, also when the interpreter ends
                raise
        elif self._in_doubt:
            with contextlib.suppress(OSError, sqlite3.Error):
                connection.execute("PRAGMA busy_timeout = 0")  # whoever keeps it locked has it open, too
                write_anew(connection, self.path)
        close_database(connection, self.path)

    def close(self) -> None:
        """Close the connection and lend none any more."""
        with self.mutex:
            self.let_go()
            self._closed = True

    def forget(self) -> sqlite3.Connection | None:
        """Begin anew in a forked child, and return the parent's connection: it may not even be closed there."""
        connection, self.connection = self.connection, None
        if self._log_sync is not None:
            self._log_sync.forget()
        self.mutex = threading.RLock()
        self._found = True  # also what its parent had not synced yet
        self._begin_anew()
        return connection

    # --- transactions -----------------------------------------------------------------------------------------------

    def transact(self, job: Callable[[sqlite3.Connection], T], *, sync: bool = True) -> T:
        """Run a job in a transaction, durable with all before it when this returns; with ``sync`` off, when a later one does.

        After a failure whose outcome is in doubt the connection is closed: the next use re-reads.
        """
        with self as connection:
            is_long = is_log_long(self.path)
            if sync or is_long:
                sync = True
                self._wait()
            self._prepare(connection, is_long=is_long, sync=sync)
            unsynced = False
            try:
                connection.execute("BEGIN IMMEDIATE")
                result = job(connection)
                unsynced = not self._syncs
                connection.execute("COMMIT")
                if unsynced:
                    self._sync_behind()
            except BaseException as error:  # a signal's among them, at any point of this
                self._leave(connection, error, unsynced=unsynced)
                raise
            self._check_place()  # what was written went where the file is now, if anywhere
            return result

    def _leave(self, connection: sqlite3.Connection, error: BaseException, *, unsynced: bool) -> None:
        """Leave a transaction that failed: what is under way is rolled back, what may have been committed leaves a doubt."""
        if isinstance(error, sqlite3.Error):
            if is_busy(error) and not connection.in_transaction:
                return  # it did not even begin
            self._in_doubt = self._in_doubt or is_of_the_disk(error)
        elif connection.in_transaction and not isinstance(error, OSError):
            connection.execute("ROLLBACK")
            self._rolled_back()
            return
        else:
            self._in_doubt = self._in_doubt or unsynced
        self.let_go()

    def _check_place(self) -> None:
        if place_of(self._named) != self._place:
            self.let_go()
            raise moved(self.path)

    def sync(self) -> None:
        """Wait until every transaction is durable."""
        if self._log_sync is not None or self._in_doubt:
            with self:  # which writes anew what is in doubt
                self._wait()

    def _sync_behind(self) -> None:
        assert self._log_sync is not None
        self._log_sync.begin()

    def _wait(self) -> None:
        """Wait for the syncs behind transactions, if any are under way; if one failed, what it was behind is in doubt."""
        if self._log_sync is not None:
            try:
                self._log_sync.wait()
            except OSError:
                self.let_go()
                raise

    def _prepare(self, connection: sqlite3.Connection, *, is_long: bool, sync: bool) -> None:
        if self._found:
            self._check_place()  # another store's log may lie there now
            write_anew(connection, self.path)
            self._found = False
        if is_long:
            self._move_log(connection)
        if self._syncs != sync and self._may_defer:
            self._set_sync(connection, sync=sync)

    def _move_log(self, connection: sqlite3.Connection) -> None:
        """Move the log into the file, no sync being under way: one that fails could leave the disk newer pages than a log."""
        if self._is_moved_in_doubt():
            self._write_all_anew(connection)
        try:
            move_log(connection)
        except sqlite3.Error as error:
            if is_busy(error):
                return
            if is_of_the_disk(error):
                self._moved_in_doubt = True
                with contextlib.suppress(OSError, sqlite3.Error):
                    note_of_doubt(self.path).touch()
                    self._write_all_anew(connection)
            raise

    def _is_moved_in_doubt(self) -> bool:
        return self._moved_in_doubt or note_of_doubt(self.path).exists()

    def _write_all_anew(self, connection: sqlite3.Connection) -> None:
        write_all_anew(connection, self.path)
        connection.execute(f"PRAGMA synchronous = {self._durability.upper()}")
        self._syncs, self._moved_in_doubt = True, False
        note_of_doubt(self.path).unlink(missing_ok=True)

    def _set_sync(self, connection: sqlite3.Connection, *, sync: bool) -> None:
        """Let SQLite sync its log at each commit, or let the system do that while we go on, where it can."""
        if sync:
            connection.execute("PRAGMA synchronous = FULL")
            self._syncs = True  # believed last, for a signal may come in between: a sync too many does no harm
            return
        if self._log_sync is None:
            try:
                self._log_sync = LogSync(log_of(self.path))
            except OSError:
                self._may_defer = False
            return  # once more by SQLite, whose descriptor is older: it is told of every fsync that failed meanwhile
        self._syncs = False
        connection.execute("PRAGMA synchronous = NORMAL")
