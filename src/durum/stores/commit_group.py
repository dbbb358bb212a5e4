"""Writes of several runs made durable by one commit: what is asked for in one turn of the event loop rides together.

Each write guards itself: one that is refused fails alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar
from weakref import WeakKeyDictionary

from durum.errors import CorruptionError, DurumError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from sqlite3 import Connection

T = TypeVar("T")


class Transact(Protocol):
    """What runs jobs in transactions."""

    def __call__(self, job: Callable[[Connection], T]) -> T:
        """Return what a job returned."""


class _Write(NamedTuple):
    job: Callable[[Connection], Any]
    after: Callable[[], None] | None
    done: asyncio.Future[Any]


class CommitGroup:
    """Runs jobs inside transactions. A job that raises a ``DurumError`` must not have written anything before."""

    def __init__(self, transact: Transact, mutex: AbstractContextManager[Any]) -> None:
        self._transact = transact
        self._mutex = mutex  # held until what follows from a commit is known, too
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, list[_Write]] = WeakKeyDictionary()

    def write(self, job: Callable[[Connection], T], after: Callable[[], None] | None = None) -> asyncio.Future[T]:
        """Return what gives a job's result once that is durable; ``after`` runs right behind the commit, before anything else.

        It raises:
            DurumError: the job refused, the store is away, or nobody knows whether the commit took place.
        """
        loop = asyncio.get_running_loop()
        waiting = self._waiting.get(loop)
        if waiting is None:
            waiting = self._waiting[loop] = []
            loop.call_soon(self._flush, loop)
        done: asyncio.Future[T] = loop.create_future()
        waiting.append(_Write(job, after, done))
        return done

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        writes = [write for write in self._waiting.pop(loop) if not write.done.done()]  # some may have been cancelled
        with self._mutex:
            for write, result in zip(writes, self._results(writes), strict=True):
                if isinstance(result, BaseException):
                    write.done.set_exception(result)
                    continue
                if write.after is not None:
                    write.after()
                write.done.set_result(result)

    def _results(self, writes: list[_Write]) -> list[Any]:
        """Return what each job returned or failed with."""
        try:
            return self._commit(writes)
        except CorruptionError as error:  # nothing was stored; whose write it was shows when each is on its own
            return [error] if len(writes) == 1 else [self._results([write])[0] for write in writes]
        except BaseException as error:  # noqa: BLE001 - in doubt for all of them; each raises it where it waits
            return [error] * len(writes)

    def _commit(self, writes: list[_Write]) -> list[Any]:
        """Return what each job returned or was refused with, once all of it is durable."""
        results: list[Any] = []

        def run_all(connection: Connection) -> None:
            for write in writes:
                try:
                    results.append(write.job(connection))
                except DurumError as error:
                    results.append(error)

        self._transact(run_all)
        return results
