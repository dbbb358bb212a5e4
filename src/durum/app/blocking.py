"""The bridge from blocking calls to the async engine: notebooks and scripts call one and the same service."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from durum.errors import OutOfFilesError

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")
_LOOP_FILES = 3  # what an event loop opens for itself


def wait(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from blocking code, inside a running loop too (in a thread of its own).

    Raises:
        OutOfFilesError: there is no room for an event loop; nothing was begun.
    """
    try:
        _check_room()
    except OutOfFilesError:
        work.close()
        raise
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(work)
    return _run_elsewhere(work)


def _run_elsewhere(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread of its own, for this one is inside a running loop."""
    done: Future[T] = Future()
    under_way: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None
        under_way.append((asyncio.get_running_loop(), task))
        return await work

    def run() -> None:
        try:
            done.set_result(_run(main()))
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
            done.set_exception(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="durum")
    try:
        thread.start()
        return done.result()
    except KeyboardInterrupt:  # a notebook's stop button: end the run as Ctrl-C does elsewhere, do not leave it behind
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            for loop, task in under_way:
                loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        if thread.ident is not None:
            thread.join()


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own. The loop's own task gives nothing: asyncio makes a text of whatever it gives."""
    given: list[T] = []

    async def keep() -> None:
        given.append(await work)

    asyncio.run(keep())
    return given[0]


def _check_room() -> None:
    """See that an event loop can be made: one that is half made when files run out complains past everyone."""
    opened: list[int] = []
    try:
        for _ in range(_LOOP_FILES):
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401 - what was opened must be known
    except OSError as error:
        raise OutOfFilesError(error.strerror or str(error)) from error
    finally:
        for file in opened:
            os.close(file)
