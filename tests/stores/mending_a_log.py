"""A log cannot be moved, everything is written anew, and the process is killed before or after the note of it is removed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from durum.stores import sqlite_file
from durum.stores.database import Database
from durum.stores.sqlite_file import Durability
from tests.stores.databases import MOVE, Failing, bump, fill

real = Path.unlink


def unlink(path: Path, *, missing_ok: bool) -> None:
    """Kill this process where the note is removed."""
    if sys.argv[2] == "after":
        real(path, missing_ok=missing_ok)
    os.kill(os.getpid(), signal.SIGKILL)


def main(path: Path) -> None:
    """Write until the log is to be moved."""
    opened = Database(path, create=True, durability=Durability.FULL, rolled_back=lambda: None)
    while not sqlite_file.is_log_long(opened.path):
        opened.transact(fill)
        os.write(1, b"written\n")
    opened.connection = Failing(opened.connection, {MOVE}, [])  # type: ignore[assignment]
    Path.unlink = unlink  # type: ignore[method-assign, assignment]
    opened.transact(bump)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
