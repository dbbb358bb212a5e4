"""What the tests of one database write into it, and what they put between it and SQLite."""

from __future__ import annotations

import sqlite3
from typing import Any

FULL, NORMAL = 2, 1
MOVE = "PRAGMA wal_checkpoint(PASSIVE)"


def synchronous(connection: sqlite3.Connection) -> int:
    """Return what SQLite was told."""
    (value,) = connection.execute("PRAGMA synchronous").fetchone()
    return int(value)


def bump(connection: sqlite3.Connection) -> int:
    """Write something, and return what SQLite was told."""
    connection.execute("INSERT INTO artifacts (digest, kind, size, data) VALUES (randomblob(32), 'other', 0, x'')")
    return synchronous(connection)


def fill(connection: sqlite3.Connection) -> int:
    """Write 256 KiB, and return what SQLite was told."""
    connection.execute(
        "INSERT INTO artifacts (digest, kind, size, data) VALUES (randomblob(32), 'other', 1 << 18, zeroblob(1 << 18))"
    )
    return synchronous(connection)


def count(connection: sqlite3.Connection) -> int:
    """Return how often that was done."""
    (value,) = connection.execute("SELECT count(*) FROM artifacts").fetchone()
    return int(value)


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


class Failing:
    """A connection whose disk fails at some statements; it notes what was executed."""

    def __init__(self, connection: Any, fails: set[str], said: list[str]) -> None:
        self._connection = connection
        self._fails = fails
        self._said = said

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        """Execute, or fail."""
        self._said.append(statement)
        if statement in self._fails:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        done: sqlite3.Cursor = self._connection.execute(statement, *parameters)
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
