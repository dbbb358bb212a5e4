"""Opening a SQLite store: a file that is not Durum's, or of a newer version, is refused before SQLite ever touches it."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import sys
from enum import StrEnum
from typing import TYPE_CHECKING

from durum.errors import CorruptionError, ForeignStoreError, NotFoundError
from durum.stores.artifact_files import make_folder, sync_folder
from durum.stores.outage import moved, unavailable
from durum.stores.statements import changes, schema

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID = 0x44757275  # "Duru"
SCHEMA_VERSION = 2
BUSY_SECONDS = 10.0
_PROBE_MS = 1000
_BLOCK_BYTES = 1 << 20
_LOG_BYTES = 4 << 20  # a log that is longer is moved into the file; it is cut to this when it begins anew


class Durability(StrEnum):
    """What a commit survives; a setting of whoever writes, not of the file."""

    FULL = "full"  # a power cut: the log is synced at every commit
    NORMAL = "normal"  # the death of the process; the system or its power may take the last commits with them, whole ones


def open_database(path: Path, *, create: bool, durability: Durability = Durability.FULL) -> sqlite3.Connection:
    """Return a connection in WAL mode whose commits survive what ``durability`` says.

    Raises:
        NotFoundError: there is no file and ``create`` is not set.
        ForeignStoreError: the file is no Durum store, or of a newer version; it was not touched.
        StoreUnavailableError: the place cannot be read or written.
    """
    try:
        if not path.exists():
            if not create:
                raise NotFoundError("store at", str(path), "start a run first, or name the store with --store")
            _make(path)
        if not path.is_file() or not path.stat().st_size:
            raise ForeignStoreError(str(path), "is an empty file" if path.is_file() else "is no file")
        _check_header(path)
        return _connect(path, durability)
    except OSError as error:
        raise unavailable(path, error, opening=True) from error


def refuse_a_link_to_nothing(path: Path) -> None:
    """Raise ``NotFoundError`` if a path leads through a link to what is not there: a disk that is not mounted perhaps."""
    if os.path.exists(path):  # noqa: PTH110 - false for what cannot be looked at
        return
    for place in (path, *path.parents):
        if os.path.islink(place):  # noqa: PTH114 - false for what cannot be looked at
            try:
                place.stat()
            except FileNotFoundError:
                hint = f"{place} is a link to nothing: bring back what it names, or remove it"
                raise NotFoundError("store at", str(path), hint) from None
            except OSError:
                return  # opening it says what is the matter


def reopen_database(path: Path, *, durability: Durability, in_doubt: bool) -> sqlite3.Connection:
    """Return a new connection to a store that was open before; what is ``in_doubt`` is made sure before it is read.

    Raises:
        StoreUnavailableError: it cannot be used now, or is not where it was.
    """
    try:
        connection = open_database(path, create=False, durability=durability)
    except (ForeignStoreError, NotFoundError):
        raise moved(path) from None
    try:
        if in_doubt:
            write_anew(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Build the store aside and link it into place, so that a half-made one can never be met."""
    make_folder(path.parent)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        connection = sqlite3.connect(fresh.absolute(), isolation_level=None)
        try:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.executescript(f"BEGIN;\n{schema()}\nCOMMIT;")
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        try:
            os.link(fresh, path)
        except FileExistsError:
            return  # another process was faster; its store is as good
    except sqlite3.Error as error:
        raise unavailable(path, error, opening=True) from error
    finally:
        fresh.unlink(missing_ok=True)


def _check_header(path: Path) -> None:
    """Look at the file without a trace: an immutable connection makes no file beside it and takes no lock.

    Never by ``open()``: closing any other descriptor of the file drops the locks this process's connections hold on it, and
    the next process to close the store would then delete the log they write to.
    """
    wal = log_of(path)
    wal_is_there = wal.exists()
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        _check_identity(path, application_id, version)
        if not wal_is_there:
            connection.execute("SELECT * FROM runs LIMIT 1").fetchone()
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF  # without the extended part
        if code == sqlite3.SQLITE_NOTADB:
            raise ForeignStoreError(str(path), "is no SQLite database") from error
        if code not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR}:
            raise unavailable(path, error, opening=True) from error
        if not (wal_is_there or wal.exists()):  # else pages may be missing that are still in the log
            raise CorruptionError(f"store {path}", str(error)) from error
    finally:
        _close(connection)


def _check_identity(path: Path, application_id: int, version: int) -> None:
    if application_id != APPLICATION_ID:
        raise ForeignStoreError(str(path), "is a SQLite database, but no Durum store")
    if version > SCHEMA_VERSION:
        reason = f"was written by a newer Durum (schema {version}, this one reads up to {SCHEMA_VERSION}); upgrade durum"
        raise ForeignStoreError(str(path), reason)


def _connect(path: Path, durability: Durability) -> sqlite3.Connection:
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(path.absolute(), timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        _check_identity(path, application_id, version)
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA wal_autocheckpoint = 0").fetchone()  # it tells nobody of a disk that fails; see ``move_log``
        connection.execute(f"PRAGMA synchronous = {durability.upper()}")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}").fetchone()
        if sys.platform == "darwin":
            connection.execute("PRAGMA fullfsync = ON")
        connection.execute("SELECT * FROM runs LIMIT 1").fetchone()
        if version < SCHEMA_VERSION:
            _bring_up_to_date(connection)
    except sqlite3.OperationalError as error:
        _close(connection)
        raise unavailable(path, error, opening=True) from error
    except sqlite3.DatabaseError as error:
        _close(connection)
        raise CorruptionError(f"store {path}", str(error)) from error
    except ForeignStoreError:
        _close(connection)
        raise
    return connection


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Change an older store's tables in one transaction; whoever opens it at the same time finds the work done."""
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for later in range(version + 1, SCHEMA_VERSION + 1):
        for statement in changes(later):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {later}")
    connection.execute("COMMIT")


def probe_writing(path: Path) -> None:
    """See that a transaction could be begun within a second; ``StoreUnavailableError`` if not."""
    connection = open_database(path, create=False)
    try:
        connection.execute(f"PRAGMA busy_timeout = {_PROBE_MS}")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        connection.close()


def write_anew(connection: sqlite3.Connection, path: Path) -> None:
    """Write SQLite's log once more as it stands, durably, or raise ``sqlite3.OperationalError`` or ``OSError``.

    After an fsync that failed the system may hold the log's pages for written though no disk has them: they read well, and
    the next fsync succeeds. So what others left, and a commit in doubt, counts once it is written anew (docs/decisions/0004).
    Copied into the database alone it would not: the log that stays in force could end, on the disk, before it.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")  # nobody else writes to the log meanwhile; whoever reads finds the same bytes
        log = os.open(log_of(path), os.O_RDWR | os.O_CLOEXEC)
        try:
            place = 0
            while block := os.pread(log, _BLOCK_BYTES, place):
                place += os.pwrite(log, block, place)
            if place:
                _sync(log)
        finally:
            os.close(log)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def write_all_anew(connection: sqlite3.Connection, path: Path) -> None:
    """Write every page of the database into its log, durably: what was moved out of the log before may be lost otherwise.

    SQLite moves a part of a long log without a sync of the file where somebody reads the rest. If the sync that comes later
    fails, the system holds all of it for written, and the next sync succeeds.
    """
    write_anew(connection, path)
    connection.execute("PRAGMA synchronous = FULL")  # or what is written counts before it is durable, and once more next time
    connection.execute("VACUUM")


def note_of_doubt(path: Path) -> Path:
    """Return the file that says, while the system runs, that the disk may lack what was moved from the log before."""
    return path.with_name(path.name + ".doubt")


def is_log_long(path: Path) -> bool:
    """Tell whether the log should be moved into the file: as long as one must be that was begun anew, and longer."""
    try:
        return os.stat(str(path) + "-wal").st_size > _LOG_BYTES  # noqa: PTH116 - before each commit: a Path costs more
    except OSError:
        return False


def move_log(connection: sqlite3.Connection) -> None:
    """Move what nobody's reading holds back from the log into the file, both synced, so that the next commit begins it anew."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def log_of(path: Path) -> Path:
    """Return where SQLite's log of the store at ``path`` lies, which is no link."""
    return path.with_name(path.name + "-wal")


def close_database(connection: sqlite3.Connection, path: Path) -> None:
    """Close a connection. If it was the last, SQLite has removed the log, and that is made durable.

    A log that came back after a power cut could end before what was copied from it, and cover newer pages with older ones.
    """
    log = log_of(path)
    connection.close()  # rolls back what was not committed
    if not log.exists():
        sync_folder(log.parent)


def _sync(file: int) -> None:
    if sys.platform == "darwin":
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)
    os.fsync(file)


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()
