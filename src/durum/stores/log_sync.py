"""Syncs SQLite's log without waiting for it: the process goes on, commits some more, and waits when it must.

By aio_fsync(3) of POSIX, whose thread is the C library's: one of Python's would get the interpreter's lock back too late to be
of use (docs/decisions/0023).
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import os
import sys
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BYTES = 512  # of a ``struct aiocb``, at least: 168 with glibc
_NOTIFY = 44  # where its ``aio_sigevent.sigev_notify`` lies on Linux with 64 bits, glibc or musl; ``aio_fildes`` comes first
_NO_SIGNAL = 1  # SIGEV_NONE
_MOST_AT_ONCE = 4  # commits that may be ahead of the disk
_KNOWN = sys.platform == "linux" and sys.maxsize > 2**32  # elsewhere a request looks different
_PROCESS = os.getpid()  # a forked child lacks the C library's thread, which waits in its parent
_C, _C_UNLOCKED = ctypes.PyDLL(None), ctypes.CDLL(None)  # calls that do not block keep the interpreter's lock


class _Request:
    """What the C library is asked with."""

    def __init__(self, descriptor: int) -> None:
        self.buffer = ctypes.create_string_buffer(_BYTES)
        ctypes.c_int.from_buffer(self.buffer).value = descriptor
        ctypes.c_int.from_buffer(self.buffer, _NOTIFY).value = _NO_SIGNAL
        self.alone = (ctypes.c_void_p * 1)(ctypes.addressof(self.buffer))


_under_way: set[LogSync] = set()  # kept until their syncs are over, for the C library writes into what they asked with


class LogSync:
    """Syncs one file, a few syncs at most one behind another."""

    def __init__(self, log: Path) -> None:
        """Get ready. Raises ``OSError`` where the system cannot do it, and in a forked child."""
        if not (_KNOWN and os.getpid() == _PROCESS and hasattr(_C, "aio_fsync")):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._descriptor = os.open(log, os.O_RDWR | os.O_CLOEXEC)
        self._idle = [_Request(self._descriptor) for _ in range(_MOST_AT_ONCE)]
        self._begun: deque[_Request] = deque()
        self._start, self._error, self._return = _C.aio_fsync, _C.aio_error, _C.aio_return
        self._suspend = _C_UNLOCKED.aio_suspend

    @property
    def under_way(self) -> bool:
        """Whether a sync was begun whose end nobody has seen; one that failed stays so."""
        return bool(self._begun)

    def begin(self) -> None:
        """Begin to sync what was written until now; if there is no thread to be had, sync it.

        Waits for the first of those under way if they are many. Raises ``OSError`` if that or this one failed.
        """
        if not self._idle:
            self._end_first()
        request = self._idle.pop()
        self._begun.append(request)
        _under_way.add(self)
        if self._start(os.O_DSYNC, request.buffer):
            self._begun.pop()
            os.fdatasync(self._descriptor)
            self._idle.append(request)

    def wait(self) -> None:
        """Wait until none is under way. Raises ``OSError`` if one failed, however often it is asked."""
        while self._begun:
            self._end_first()
        _under_way.discard(self)

    def outcomes(self) -> list[int]:
        """Wait for each that is under way and leave it so; return their errors' numbers, 0 for none."""
        return [self._outcome(request) for request in list(self._begun)]

    def _outcome(self, request: _Request) -> int:
        while (code := self._error(request.buffer)) == errno.EINPROGRESS:
            self._suspend(request.alone, 1, None)  # or until a signal comes
        return int(code)

    def _end_first(self) -> None:
        if code := self._outcome(self._begun[0]):
            raise OSError(code, os.strerror(code))
        self._return(self._begun[0].buffer)
        self._idle.append(self._begun.popleft())

    def close(self) -> None:
        """Let go of the file once no sync is under way, whatever became of them."""
        self.outcomes()
        self._begun.clear()
        _under_way.discard(self)
        os.close(self._descriptor)

    def forget(self) -> None:
        """Let go of the file in a forked child, where no sync will ever end."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


@atexit.register
def _wait_for_all() -> None:
    """See that no sync is under way when the interpreter frees what it was asked with."""
    if os.getpid() == _PROCESS:
        for sync in list(_under_way):
            sync.outcomes()
