"""What is the matter with a store is said in words a person can act on, whatever SQLite made of it."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durum.stores import outage
from durum.stores.outage import is_of_the_disk, locked_by, moved, place_of, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

SYSTEM = [
    (errno.ENOSPC, "the disk is full", "free some space"),
    (errno.EDQUOT, "quota", "free some space"),
    (errno.EROFS, "read-only", "mount it for writing"),
    (errno.EACCES, "permission", "owner and mode"),
    (errno.EPERM, "permission", "owner and mode"),
    (errno.EMFILE, "may open no more files", "ulimit -n"),
    (errno.ENFILE, "may open no more files", "end some"),
    (errno.EIO, "the disk reports an error", "check the disk"),
    (errno.EFBIG, "grow", "ulimit -f"),
    (errno.ENOENT, "gone", "bring it back"),
    (errno.EXDEV, "it cannot be used", "durum doctor"),
]


def of_sqlite(code: int, text: str) -> sqlite3.OperationalError:
    """Return an error as SQLite raises it."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(("number", "what", "advice"), SYSTEM)
def test_the_systems_errors_are_said_with_what_to_do(number: int, what: str, advice: str, tmp_path: Path) -> None:
    """One sentence with the path, what the system said, and what to do."""
    error = unavailable(tmp_path / "x.db", OSError(number, os.strerror(number)))
    text = str(error)
    assert text.startswith(f"store {tmp_path / 'x.db'}: ")
    assert what in text
    assert advice in text
    assert os.strerror(number) in text
    assert "\n" not in text
    assert "--store" not in text
    assert "choose another place" in str(unavailable(tmp_path / "x.db", OSError(number, "no"), opening=True))


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full"),
        (sqlite3.SQLITE_BUSY, "another process keeps it locked"),
        (sqlite3.SQLITE_PERM, "permission"),
        (sqlite3.SQLITE_IOERR_FSYNC, "the disk reports an error"),
        (sqlite3.SQLITE_CANTOPEN, "it cannot be used"),
        (sqlite3.SQLITE_NOMEM, "it cannot be used"),
    ],
)
def test_what_sqlite_says_is_put_into_words(code: int, what: str, tmp_path: Path) -> None:
    """By its code; where it says only that something is wrong, nothing is made up."""
    assert what in str(unavailable(tmp_path / "x.db", of_sqlite(code, "as SQLite has it")))


def gone(folder: Path) -> None:
    """Take a folder away."""
    folder.rmdir()


def shut(folder: Path) -> None:
    """Let nobody write in a folder."""
    folder.chmod(0o500)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (gone, "its folder is gone"),
        pytest.param(shut, "permission", marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")),
    ],
)
def test_where_sqlite_does_not_say_why_it_is_looked_for(spoil: Callable[[Path], None], what: str, tmp_path: Path) -> None:
    """``unable to open database file`` may mean many things."""
    folder = tmp_path / "folder"
    folder.mkdir()
    spoil(folder)
    try:
        assert what in str(unavailable(folder / "x.db", of_sqlite(sqlite3.SQLITE_CANTOPEN, "unable to open database file")))
    finally:
        if folder.exists():
            folder.chmod(0o700)


def test_a_process_with_no_file_left_is_found_out(tmp_path: Path) -> None:
    """SQLite says the same as for a folder that is shut; its own files may just have been closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open(tmp_path, os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe + 2, hard))
    try:
        error = unavailable(tmp_path / "x.db", of_sqlite(sqlite3.SQLITE_CANTOPEN, "unable to open database file"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "may open no more files" in str(error)
    again = os.open(tmp_path, os.O_RDONLY)
    os.close(again)
    assert again == probe  # it closed what it opened


def test_a_file_that_was_replaced_is_another(tmp_path: Path) -> None:
    """By its place on the disk, not by its name or contents."""
    file = tmp_path / "x.db"
    assert place_of(str(file)) is None
    file.write_text("x")
    before = place_of(str(file))
    file.rename(tmp_path / "y.db")
    file.write_text("x")
    assert place_of(str(file)) != before == place_of(str(tmp_path / "y.db"))
    assert "put it back" in str(moved(file))


def test_only_a_disk_that_failed_leaves_doubt() -> None:
    """A full one took nothing."""
    assert is_of_the_disk(of_sqlite(sqlite3.SQLITE_IOERR_FSYNC, "disk I/O error"))
    assert not is_of_the_disk(of_sqlite(sqlite3.SQLITE_FULL, "full"))
    assert not is_of_the_disk(sqlite3.OperationalError("made by nobody"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who holds a lock")
def test_who_holds_a_lock_is_read_from_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer by the byte it locks, and whoever has the whole file for itself; readers keep nobody out."""
    store = tmp_path / "x.db"
    rows = []
    for number, (name, kind, process, first) in enumerate(
        [
            ("-shm", "WRITE", 11, 120),
            ("-shm", "READ", 12, 120),
            ("-shm", "WRITE", 13, 123),
            ("", "WRITE", 14, 1),
            ("", "READ", 15, 1),
        ]
    ):
        file = Path(f"{store}{name}")
        file.touch()
        status = file.stat()
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        rows.append(f"{number}: POSIX  ADVISORY  {kind} {process} {place} {first} {first}")
    locks = tmp_path / "locks"
    locks.write_text("\n".join([*rows, "7: -> POSIX ADVISORY WRITE 16 00:00:1 120 120"]) + "\n")
    monkeypatch.setattr(outage, "_LOCKS", locks)
    assert locked_by(store) == "process 11 and 14"
    monkeypatch.setattr(outage, "_LOCKS", tmp_path / "none")
    assert locked_by(store) == "another process"
