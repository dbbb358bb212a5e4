"""When SQLite's log is moved into the file, and when it may be removed."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

from durum.errors import StoreUnavailableError
from durum.stores import database, sqlite_file
from durum.stores.database import Database
from durum.stores.sqlite_file import Durability
from tests.stores import mending_a_log
from tests.stores.databases import FULL, MOVE, NORMAL, Failing, Interrupting, bump, count, fill

ROOT = Path(__file__).parents[2]


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

    opened.connection = Failing(real, {MOVE}, said)  # type: ignore[assignment]
    with pytest.raises(StoreUnavailableError, match="the disk reports an error"):
        opened.transact(bump)
    assert [statement for statement in said if statement in {MOVE, "VACUUM"}] == [MOVE, "VACUUM"]
    assert sqlite_file.log_of(opened.path).stat().st_size > 4096 * pages
    opened.connection = real
    assert opened.transact(bump) == FULL
    assert not sqlite_file.note_of_doubt(opened.path).exists()
    for _ in range(20):
        opened.transact(fill)
    assert said.count("VACUUM") == 1


def test_whoever_comes_next_hears_of_it_if_nothing_could_be_done_about_it(opened: Database) -> None:
    """It may have come after the failure, of which the system tells it nothing; what is there can be read all the while."""
    real: Any = opened.connection
    while not sqlite_file.is_log_long(opened.path):
        opened.transact(fill)
    opened.connection = Failing(real, {MOVE, "VACUUM"}, [])  # type: ignore[assignment]
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="the disk reports an error"):
            opened.transact(bump)
        with opened as connection:
            assert count(connection) > 10
    other = Database(opened.path, create=False, durability=Durability.NORMAL, rolled_back=lambda: None)
    said: list[str] = []
    other.connection = Failing(other.connection, set(), said)  # type: ignore[assignment]
    assert other.transact(bump) == NORMAL
    assert [statement for statement in said if statement in {MOVE, "VACUUM"}] == ["VACUUM", MOVE]
    assert not sqlite_file.note_of_doubt(opened.path).exists()
    other.close()
    opened.connection = real


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_killed_where_it_removes_the_note_leaves_what_the_next_one_can_write_to(when: str, tmp_path: Path) -> None:
    """All was written anew by then; with the note still there it is once more, and without it nothing is."""
    path = tmp_path / "durum.db"
    command = [sys.executable, "-m", mending_a_log.__name__, str(path), when]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, "")
    note = sqlite_file.note_of_doubt(path)
    assert note.exists() is (when == "before")
    with contextlib.closing(Database(path, create=False, durability=Durability.FULL, rolled_back=lambda: None)) as other:
        said: list[str] = []
        other.connection = Failing(other.connection, set(), said)  # type: ignore[assignment]
        for _ in range(2):
            other.transact(fill)
        assert said.count("VACUUM") == (when == "before")
        assert count(other.connection) == killed.stdout.count("written") + 2  # type: ignore[arg-type]
    assert not note.exists()


def test_a_log_that_cannot_be_moved_now_is_moved_later(opened: Database) -> None:
    """A statement of ours that was left unfinished keeps it where it is; what is written is written all the same."""
    while not sqlite_file.is_log_long(opened.path):
        opened.transact(fill)
    assert opened.connection is not None
    unfinished = opened.connection.execute("SELECT * FROM artifacts")
    unfinished.fetchone()
    length = sqlite_file.log_of(opened.path).stat().st_size
    opened.transact(fill)
    assert sqlite_file.log_of(opened.path).stat().st_size > length
    unfinished.close()
    for _ in range(3):
        opened.transact(fill)
    assert not sqlite_file.is_log_long(opened.path)


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


def test_a_log_that_went_with_its_last_connection_is_gone_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder is synced, by the last only: a log that comes back could cover newer pages with older ones."""
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(str(Path(f"/proc/self/fd/{file}").readlink())))
    one, two = (
        Database(tmp_path / "durum.db", create=True, durability=Durability.FULL, rolled_back=lambda: None) for _ in "12"
    )
    two.transact(bump)
    synced.clear()
    one.close()
    assert synced == []
    two.close()
    assert synced == [str(tmp_path)]
