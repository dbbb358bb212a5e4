"""Syncs SQLite's log without waiting for it: the process goes on, and waits only for what is left when it writes again.

By aio_fsync(3) of POSIX, whose thread is the C library's: one of Python's would get the interpreter's lock back too late to be
of use (docs/decisions/0023).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BYTES = 512  # of a ``struct aiocb``, at least: 168 with glibc
_NOTIFY = 44  # where its ``aio_sigevent.sigev_notify`` lies on Linux with 64 bits, glibc or musl; ``aio_fildes`` comes first
_NO_SIGNAL = 1  # SIGEV_NONE
_KNOWN = sys.platform == "linux" and sys.maxsize > 2**32  # elsewhere a request looks different
_PROCESS = os.getpid()  # a forked child lacks the C library's thread, which waits in its parent
_C, _C_UNLOCKED = ctypes.PyDLL(None), ctypes.CDLL(None)  # calls that do not block keep the interpreter's lock


_under_way: set[LogSync] = set()  # kept until their syncs are over, for the C library writes into what they asked with


class LogSync:
    """Syncs one file, one sync at a time."""

    def __init__(self, log: Path) -> None:
        """Get ready. Raises ``OSError`` where the system cannot do it, and in a forked child."""
        if not (_KNOWN and os.getpid() == _PROCESS and hasattr(_C, "aio_fsync")):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._descriptor = os.open(log, os.O_RDWR | os.O_CLOEXEC)
        self._request = ctypes.create_string_buffer(_BYTES)
        ctypes.c_int.from_buffer(self._request).value = self._descriptor
        ctypes.c_int.from_buffer(self._request, _NOTIFY).value = _NO_SIGNAL
        self._requests = (ctypes.c_void_p * 1)(ctypes.addressof(self._request))
        self._begin, self._error, self._return = _C.aio_fsync, _C.aio_error, _C.aio_return
        self._suspend = _C_UNLOCKED.aio_suspend

    @property
    def under_way(self) -> bool:
        """Whether a sync was begun whose end nobody has seen; one that failed stays so."""
        return self in _under_way

    def begin(self) -> None:
        """Begin to sync what was written until now; if there is no thread to be had, sync it. ``OSError`` if that fails."""
        _under_way.add(self)
        if self._begin(os.O_DSYNC, self._request):
            os.fdatasync(self._descriptor)
            _under_way.discard(self)

    def wait(self) -> None:
        """Wait for the sync under way, if there is one. Raises ``OSError`` if it failed, however often it is asked."""
        if self not in _under_way:
            return
        while (code := self._error(self._request)) == errno.EINPROGRESS:
            self._suspend(self._requests, 1, None)  # or until a signal comes
        self._return(self._request)
        if code:
            raise OSError(code, os.strerror(code))
        _under_way.discard(self)

    def close(self) -> None:
        """Let go of the file once no sync is under way, whatever became of the last."""
        with contextlib.suppress(OSError):
            self.wait()
        _under_way.discard(self)
        os.close(self._descriptor)

    def forget(self) -> None:
        """Let go of the file in a forked child, where no sync will ever end."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
