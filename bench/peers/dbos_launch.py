"""DBOS on a new SQLite file, launched and ended for one round.

``rollback``: the file as DBOS makes it, with SQLite's default rollback journal. ``wal``: the same file set to WAL beforehand,
which DBOS neither does nor advises; for production it advises Postgres. ``synchronous`` is SQLite's default, FULL, in both. No
admin server, no conductor, only errors in the log.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from typing import TYPE_CHECKING

from dbos import DBOS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNT, JOURNAL = int(sys.argv[1]), sys.argv[2]


@contextlib.contextmanager
def launched(folder: Path) -> Iterator[None]:
    """Have DBOS running on a file in a folder; what is registered with it stays so for the next round."""
    path = folder / "dbos.sqlite"
    if JOURNAL == "wal":
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    url = f"sqlite:///{path}"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR", "run_admin_server": False})
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()
