"""Run one child process to its end: bounded output, a time limit, and no process left behind.

Not ``asyncio.subprocess``: that reaps the child by itself, after which its pid may belong to a stranger and killing its group
is a gamble, and it waits for pipes that background children keep open.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import termios
import threading
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, cast

from durum.errors import TransportError
from durum.transports.process_tree import kill_group, kill_tree

if TYPE_CHECKING:
    from collections.abc import Callable

_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})
_CHUNK_BYTES = 65536  # what a Linux pipe holds
_LINGER_S = 0.1  # a `tee` behind the child may still flush what the child wrote last
_DEATH_S = 5.0  # a killed process may hang in the kernel; the call does not hang with it


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What to run; ``env`` and ``stdin`` may hold secrets and are left out of the repr."""

    argv: tuple[str, ...]
    executable: str  # absolute path
    cwd: str
    env: dict[str, str] = field(repr=False)
    stdin: bytes = field(repr=False)  # empty: /dev/null
    timeout_ms: int
    max_output_bytes: int  # of stdout and of stderr, each


@dataclass(frozen=True, slots=True)
class Finished:
    """How the child ended; ``exit_code`` is minus the signal number if a signal killed it."""

    exit_code: int
    stdout: bytes
    stderr: bytes


async def run_child(spec: ChildSpec) -> Finished:
    """Run ``spec`` to its end; whatever ends this call, the child's process tree ends with it.

    Raises:
        TransportError: ``command_not_started``, ``exec_timeout`` (retryable) or ``output_too_large``.
    """
    child = _Child(spec, _start(spec))
    try:
        async with asyncio.timeout(spec.timeout_ms / 1000):
            return await child.finished()
    except TimeoutError:
        raise TransportError(
            f"{spec.argv[0]} did not end within {spec.timeout_ms} ms and was killed; raise timeout_ms if it needs longer",
            code="exec_timeout",
            retryable=True,
            details={"timeout_ms": spec.timeout_ms},
        ) from None
    finally:
        await child.destroy()


def _start(spec: ChildSpec) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            spec.argv,
            executable=spec.executable,
            cwd=spec.cwd,
            env=spec.env,
            stdin=subprocess.PIPE if spec.stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        raise TransportError(
            f"{spec.argv[0]} could not be started: {error.strerror}; check that it runs on this machine",
            code="command_not_started",
            retryable=error.errno in _PASSING,
        ) from None


class _Output:
    """One output pipe of the child, read without blocking into a buffer."""

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self.name = name
        self.stream = stream
        self.data = bytearray()
        self.open = True
        os.set_blocking(stream.fileno(), False)

    def read(self, size: int = _CHUNK_BYTES) -> None:
        """Take up to ``size`` waiting bytes; at the end of the stream, close it."""
        try:
            chunk = os.read(self.stream.fileno(), size)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self.data += chunk
        if not chunk:
            self.close()

    def drain(self) -> None:
        """Take what is in the pipe at this moment, however much a survivor goes on writing."""
        if self.open:
            waiting = int.from_bytes(fcntl.ioctl(self.stream.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)
            if waiting > 0:
                self.read(waiting)

    def close(self) -> None:
        self.open = False
        self.stream.close()


class _Child:
    """A started child and its pipes, watched by the running event loop."""

    def __init__(self, spec: ChildSpec, popen: subprocess.Popen[bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self._spec = spec
        self._done: asyncio.Future[None] = self._loop.create_future()  # exited and its output complete, or failed
        self._exited = asyncio.Event()
        self._linger: asyncio.TimerHandle | None = None
        self._unsent = memoryview(spec.stdin)
        self._popen = popen
        self._stdin = popen.stdin
        self._outputs = (_Output("stdout", cast("IO[bytes]", popen.stdout)), _Output("stderr", cast("IO[bytes]", popen.stderr)))
        self._pipes = frozenset(os.fstat(output.stream.fileno()).st_ino for output in self._outputs)

    async def finished(self) -> Finished:
        """Wait until the child has exited and its output is read; what it left in its group is killed then."""
        for output in self._outputs:
            self._loop.add_reader(output.stream.fileno(), self._on_output, output)
        if self._stdin is not None:
            os.set_blocking(self._stdin.fileno(), False)
            self._loop.add_writer(self._stdin.fileno(), self._on_writable, self._stdin)
        with _ExitWatch(self._popen, self._loop, self._on_exit):
            await self._done
        stdout, stderr = (bytes(output.data) for output in self._outputs)
        return Finished(self._popen.wait(), stdout, stderr)

    async def destroy(self) -> None:
        """Kill the whole tree unless the child has ended and was reaped; free the pipes."""
        self._release()
        if self._popen.returncode is not None:
            return
        kill_tree(self._popen.pid, self._pipes)
        try:
            with _ExitWatch(self._popen, self._loop, self._exited.set), contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DEATH_S):
                    await self._exited.wait()
        finally:
            if self._popen.poll() is None:
                threading.Thread(target=self._popen.wait, daemon=True).start()

    def _on_output(self, output: _Output) -> None:
        fileno = output.stream.fileno()
        output.read()
        if not output.open:
            self._loop.remove_reader(fileno)
        self._check_size(output)
        if self._exited.is_set() and not self._is_open():
            self._finish()

    def _on_writable(self, stdin: IO[bytes]) -> None:
        try:
            sent = os.write(stdin.fileno(), self._unsent[:_CHUNK_BYTES])
        except BlockingIOError:
            return
        except OSError:  # the child closed its end: it wants no more
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._close_stdin()

    def _on_exit(self) -> None:
        self._exited.set()
        self._close_stdin()
        if self._is_open():
            self._linger = self._loop.call_later(_LINGER_S, self._finish)
        else:
            self._finish()

    def _finish(self) -> None:
        kill_group(self._popen.pid)
        for output in self._outputs:
            output.drain()
            self._check_size(output)
        if not self._done.done():
            self._popen.wait()
            self._done.set_result(None)

    def _check_size(self, output: _Output) -> None:
        limit = self._spec.max_output_bytes
        if len(output.data) > limit and not self._done.done():
            self._done.set_exception(
                TransportError(
                    f"{self._spec.argv[0]} wrote more than {limit} bytes to {output.name} and was killed; "
                    "raise max_output_bytes or let it write to a file",
                    code="output_too_large",
                    details={"stream": output.name, "max_output_bytes": limit},
                )
            )

    def _is_open(self) -> bool:
        return any(output.open for output in self._outputs)

    def _release(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
        self._close_stdin()
        for output in self._outputs:
            if output.open:
                self._loop.remove_reader(output.stream.fileno())
                output.close()
        if self._done.done() and not self._done.cancelled():
            self._done.exception()  # a cancelled call never looks at it

    def _close_stdin(self) -> None:
        if self._stdin is not None and not self._stdin.closed:
            self._loop.remove_writer(self._stdin.fileno())
            self._stdin.close()


class _ExitWatch:
    """Calls back on the loop, once, when the child has exited; leaves it unreaped where the system allows."""

    def __init__(self, popen: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop, on_exit: Callable[[], None]) -> None:
        self._popen = popen
        self._loop = loop
        self._on_exit: Callable[[], None] | None = on_exit
        self._pidfd: int | None = None

    def __enter__(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self._popen.pid)
        except (AttributeError, OSError):  # macOS, old kernels, no descriptor left
            threading.Thread(target=self._wait_in_thread, daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._notify)

    def __exit__(self, *_: object) -> None:
        self._on_exit = None
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)

    def _notify(self) -> None:
        on_exit, self._on_exit = self._on_exit, None
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
        if on_exit is not None:
            on_exit()

    def _wait_in_thread(self) -> None:
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._notify)
