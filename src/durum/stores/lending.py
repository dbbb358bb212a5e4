"""Lends SQLite's connection to one thread at a time, and says what a failure of it means."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING

from durum.errors import CorruptionError
from durum.stores.outage import handle_closed, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType


class Lending:
    """A context manager that is used again and again; a generator made for each use would cost more than many a statement."""

    def __init__(self, path: Path, connection: sqlite3.Connection | None, reopen: Callable[[], sqlite3.Connection]) -> None:
        self.mutex = threading.RLock()
        self.connection = connection
        self._path = path
        self._reopen = reopen

    def __enter__(self) -> sqlite3.Connection:
        self.mutex.acquire()
        try:
            if self.connection is None:
                self.connection = self._reopen()
            return self.connection
        except BaseException as error:
            self.mutex.release()
            self._explain(error)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.mutex.release()
        if error is not None:
            self._explain(error)

    def close(self) -> None:
        """Close the connection and lend none any more."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        self._reopen = self._closed

    def _closed(self) -> sqlite3.Connection:
        raise handle_closed(str(self._path))

    def _explain(self, error: BaseException) -> None:
        """Raise what a person is told in place of an error of SQLite or the system."""
        if isinstance(error, sqlite3.OperationalError | OSError):
            raise unavailable(self._path, error) from error
        if isinstance(error, sqlite3.DatabaseError):
            raise CorruptionError(f"store {self._path}", str(error)) from error
