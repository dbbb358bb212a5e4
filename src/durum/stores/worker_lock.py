"""A worker's life as the kernel knows it: an OS file lock that is free the moment its process is gone, ``kill -9`` included.

Into the locked file the worker writes a beat from time to time. One whose beat is older than its lease is taken for hung: its
lock is held, but its runs may be taken over. It finds out before it acts on the outside (``held_since``), or as it appends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import threading
from typing import TYPE_CHECKING, Literal

import msgspec

from durum.core.lease import Lease
from durum.stores.monotonic import boot_id, now_ns

if TYPE_CHECKING:
    from pathlib import Path

LEASE_SECONDS = 20.0
_SUFFIX = ".lock"
_BEATS_A_LEASE = 8
_RECORD_BYTES = 512  # one write, and whatever was there before is gone
_MOST_BYTES = 4096


class _Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands in a worker's file: its process for people, and its lease if it could be written."""

    pid: int
    host: str
    lease: Lease | None = None


_decode = msgspec.json.Decoder(_Record).decode  # made here: two threads that first meet a type at once crash msgspec


class Sighting(msgspec.Struct, frozen=True):
    """A worker as others see it."""

    worker: str
    state: Literal["alive", "hung", "gone"]
    name: str  # as people know it
    silent_seconds: float | None = None  # since its last beat


class WorkerLock:
    """Holds this worker's lock, and lets its heart beat, until ``release`` or the end of the process."""

    def __init__(self, folder: Path, lease_seconds: float = LEASE_SECONDS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.worker = secrets.token_hex(6)
        self.gaps = 0  # how often a beat came so late that the worker may have been taken for hung before it
        self._length_ns = round(lease_seconds * 1e9)
        self._lease: Lease | None = None  # as it stands in the file; None: nothing does, and nobody can judge by it
        self._guard = threading.Lock()  # between a beat and the end of the file
        self._stopped = threading.Event()
        self._path = folder / (self.worker + _SUFFIX)
        fresh = folder / f".{self.worker}"  # what has the name of a lock is held: nobody may take it for a dead worker's
        self._file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.beat()
        fresh.rename(self._path)
        threading.Thread(target=self._keep_beating, name="durum-heartbeat", daemon=True).start()

    def beat(self) -> None:
        """Give a sign of life. On a full disk there may be none: the lock holds all the same."""
        with self._guard:
            lease = Lease(boot_id(), now_ns(), self._length_ns)
            if self._lease is not None and not self._lease.held(lease.beat_ns):
                self.gaps += 1
            record = msgspec.json.encode(_Record(os.getpid(), socket.gethostname(), lease))
            with contextlib.suppress(OSError):
                os.pwrite(self._file, record.ljust(_RECORD_BYTES - 1) + b"\n", 0)
                self._lease = lease

    def _keep_beating(self) -> None:
        while not self._stopped.wait(self._length_ns / 1e9 / _BEATS_A_LEASE):
            self.beat()

    def held_since(self, gaps: int) -> bool:
        """Tell whether nobody can have taken this worker for hung since ``gaps`` was what it is."""
        return self.gaps == gaps and (self._lease is None or self._lease.held(now_ns()))

    def forget(self) -> None:
        """Let go of the file only: what a forked child must do, which shares the lock and would hold it beyond our death.

        The child has no heart to stop, and one that was just beating may hold the guard for good there.
        """
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def release(self) -> None:
        """Give the lock up and remove its file."""
        self._stopped.set()
        with self._guard:
            if self._file >= 0:
                with contextlib.suppress(OSError):
                    self._path.unlink()
                self.forget()


def is_alive(folder: Path, worker: str) -> bool:
    """Tell whether a worker's process holds its lock and its lease has not lapsed; the file of a dead one is removed."""
    return look(folder, worker).state == "alive"


def look(folder: Path, worker: str) -> Sighting:
    """Return a worker as it is seen now; the file of a dead one is removed.

    Asks for a shared lock, so that two who ask at once do not take each other for the worker.
    """
    path = folder / (worker + _SUFFIX)
    try:
        probe = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Sighting(worker, "gone", _name(worker, None))
    try:
        record, silent_seconds = _read(probe), None
        name = _name(worker, record)
        if record is not None and record.lease is not None and record.lease.boot_id == boot_id():
            silent_seconds = (now_ns() - record.lease.beat_ns) / 1e9
        try:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return Sighting(worker, "hung" if _is_hung(probe) else "alive", name, silent_seconds)
        with contextlib.suppress(OSError):
            path.unlink()
        return Sighting(worker, "gone", name, silent_seconds)
    finally:
        os.close(probe)


def roll(folder: Path) -> list[Sighting]:
    """Return everyone who left a file, as seen now; the files of the dead are removed."""
    return [look(folder, path.stem) for path in sorted(folder.glob(f"*{_SUFFIX}"))]


def describe(folder: Path, worker: str) -> str:
    """Return a worker as a person knows it: its process and host."""
    with contextlib.suppress(OSError):
        probe = os.open(folder / (worker + _SUFFIX), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _name(worker, _read(probe))
        finally:
            os.close(probe)
    return _name(worker, None)


def _name(worker: str, record: _Record | None) -> str:
    return f"worker {worker}" if record is None else f"process {record.pid} on {record.host}"


def _is_hung(file: int) -> bool:
    """Tell whether a worker's lease has lapsed. Two looks must agree: one may fall into the middle of a beat."""
    seen = [_read(file), _read(file)]
    lease = None if seen[0] is None else seen[0].lease
    return lease is not None and seen[0] == seen[1] and lease.lapsed(now_ns(), boot_id())


def _read(file: int) -> _Record | None:
    """Return what stands in a worker's file; None if that is nothing, or of another version."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return _decode(os.pread(file, _MOST_BYTES, 0))
    return None
