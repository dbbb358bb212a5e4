"""A worker's life as the kernel knows it: an OS file lock that is free the moment its process is gone, ``kill -9`` included."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIX = ".lock"


class WorkerLock:
    """Holds this worker's lock until ``release`` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.worker = secrets.token_hex(6)
        self._path = folder / (self.worker + _SUFFIX)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):  # for people only; the lock holds on a full disk too
            os.write(self._file, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())

    def forget(self) -> None:
        """Let go of the file only: what a forked child must do, which shares the lock and would hold it beyond our death."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def release(self) -> None:
        """Give the lock up and remove its file."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                self._path.unlink()
            self.forget()


def is_alive(folder: Path, worker: str) -> bool:
    """Tell whether a worker's process still holds its lock; the file of a dead one is removed.

    Asks for a shared lock, so that two who ask at once do not take each other for the worker.
    """
    path = folder / (worker + _SUFFIX)
    try:
        probe = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        with contextlib.suppress(OSError):
            path.unlink()
        return False
    finally:
        os.close(probe)


def describe(folder: Path, worker: str) -> str:
    """Return a worker as a person knows it: its process and host."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads((folder / (worker + _SUFFIX)).read_text(encoding="utf-8"))
        return f"process {known['pid']} on {known['host']}"
    return f"worker {worker}"
