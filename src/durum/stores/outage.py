"""Why a store cannot be reached, and what to do about it: what SQLite and the system say, made one sentence for a person."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

from durum.errors import StoreUnavailableError

_LEAST_BYTES = 64 * 1024  # what SQLite needs beside a store to read it at all: its index of the log, and a page to begin with
_SQLITE_FILES = 5  # what it has open of a store at most, all at once
_WRITERS_BYTE = 120  # of that index: whoever holds it locked is the one that writes
_LOCKS = Path("/proc/locks")  # absent on macOS: then it stays unknown who
_MEANINGS = {
    sqlite3.SQLITE_BUSY: errno.EAGAIN,
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_PERM: errno.EACCES,
}
_PERMISSION = ("permission is denied", "correct the owner and mode of the file and its folder")
_SPACE = "free some space there"
_WORDS = {
    errno.EACCES: _PERMISSION,
    errno.EDQUOT: ("the disk quota is used up", _SPACE),
    errno.EFBIG: ("a file may not grow any more", "raise the limit with: ulimit -f"),
    errno.EIO: ("the disk reports an error", "check the disk and the system's log"),
    errno.EMFILE: ("this process may open no more files", "raise the limit with: ulimit -n"),
    errno.ENFILE: ("this system may open no more files", "end some of its programs"),
    errno.ENOENT: ("its folder is gone", "bring it back"),
    errno.ENOSPC: ("the disk is full", _SPACE),
    errno.ENOTDIR: ("its folder is none", "name another place with --store"),
    errno.EPERM: _PERMISSION,
    errno.EROFS: ("its file system is read-only", "mount it for writing"),
    errno.ESTALE: ("its file was moved, replaced or removed while it was open", "put it back"),
}


def unavailable(path: Path, error: OSError | sqlite3.Error, *, opening: bool = False) -> StoreUnavailableError:
    """Return the error that says why the store at ``path`` cannot be used; ``opening``: another place may do as well."""
    said = getattr(error, "strerror", None) or str(error)
    cause = _cause(path, error)
    if cause == errno.EAGAIN:
        what, advice = f"{locked_by(path)} keeps it locked", "wait for that process or end it"
    else:
        what, advice = _WORDS.get(cause or 0, ("it cannot be used", "look at it with: durum doctor"))
    other = " or choose another place with --store" if opening else ""
    return StoreUnavailableError(str(path), f"{what} ({said}); {advice}{other}")


def is_of_the_disk(error: sqlite3.Error) -> bool:
    """Tell whether the disk itself failed; one that is full took nothing, and what it has can be read as before."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) == sqlite3.SQLITE_IOERR


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether somebody else kept a store locked, or an unfinished statement of ours did."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def place_of(path: str) -> tuple[int, int] | None:
    """Return which file a path names now, None if it names none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - asked after each commit: a Path costs four calls more
    except OSError:
        return None
    return status.st_dev, status.st_ino


def moved(path: Path) -> StoreUnavailableError:
    """Return the error of a store whose file is not where it was opened: what is written to it now is nowhere."""
    what, advice = _WORDS[errno.ESTALE]
    return StoreUnavailableError(str(path), f"{what}; {advice}")


def handle_closed(store: str) -> StoreUnavailableError:
    """Return the error of a handle that somebody uses after it was closed: a task that was left behind perhaps."""
    return StoreUnavailableError(store, "this handle of it was closed; open the store again")


def locked_by(path: Path) -> str:
    """Return who writes to a store now, or holds its file for itself, as far as this system tells."""
    found = set()
    for file, bytes_ in ((path.with_name(path.name + "-shm"), {_WRITERS_BYTE}), (path, None)):
        with contextlib.suppress(OSError):
            found |= _lockers(file, bytes_)
    if not found:
        return "another process"
    return "process " + " and ".join(str(process) for process in sorted(found))


def _lockers(file: Path, only: set[int] | None) -> set[int]:
    """Return the processes that hold a lock for writing on a file, or on certain bytes of it."""
    status = file.stat()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    rows = [line.split() for line in _LOCKS.read_text("ascii", "replace").splitlines()]
    held = [row for row in rows if row[3] == "WRITE" and row[5] == place and row[4].isdecimal()]
    return {int(row[4]) for row in held if only is None or int(row[6]) in only}


def _cause(path: Path, error: OSError | sqlite3.Error) -> int | None:
    """Return the system's number for what is the matter; SQLite often says only that something is."""
    if isinstance(error, OSError):
        return error.errno
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}:
        with contextlib.suppress(OSError):
            return _looked(path) or (None if code == sqlite3.SQLITE_CANTOPEN else errno.EIO)
    return _MEANINGS.get(code)


def _looked(path: Path) -> int | None:
    """Look what stands in the way of a store now, None if nothing does."""
    opened: list[int] = []
    try:
        while len(opened) < _SQLITE_FILES:
            opened.append(os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC))
        room = os.statvfs(path.parent)
    except OSError as error:
        return error.errno
    finally:
        for descriptor in opened:
            os.close(descriptor)
    if room.f_flag & os.ST_RDONLY:
        return errno.EROFS
    files = [path.parent, *(file for end in ("", "-wal", "-shm") if (file := path.with_name(path.name + end)).exists())]
    if not all(os.access(file, os.R_OK | os.W_OK) for file in files):
        return errno.EACCES
    return errno.ENOSPC if room.f_bavail * room.f_frsize < _LEAST_BYTES else None
