"""How a process is told to let go of the runs it drives: at once, or once what is under way has come to its end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durum.engine.driver import Driver


class Stop:
    """Asked from a signal handler or another thread. The runs stay where they stand and can be resumed."""

    def __init__(self) -> None:
        self._driving: dict[Driver, tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = {}
        self._cancelled: set[Driver] = set()
        self._asked: str | None = None

    def now(self) -> None:
        """Cancel what is under way."""
        self._ask("now")

    def drain(self) -> None:
        """Enter nothing more; what is under way may come to its end."""
        self._ask("drain")

    @property
    def asked(self) -> bool:
        """Whether anybody asked."""
        return self._asked is not None

    def _ask(self, how: str) -> None:
        self._asked = how
        for driver in list(self._driving):
            self._tell(driver, how)

    def _tell(self, driver: Driver, how: str) -> None:
        with contextlib.suppress(KeyError, RuntimeError):  # it is over, and its loop is closed
            loop, _ = self._driving[driver]
            loop.call_soon_threadsafe(self._reach, driver, how)

    def _reach(self, driver: Driver, how: str) -> None:
        """Stop a driver, in its own loop and only while it is under way: a cancellation must not hit what comes after it."""
        if driver not in self._driving:
            return
        driver.drain()  # a cancellation may get lost in what a step does with it; nothing new begins all the same
        if how == "now" and driver not in self._cancelled:
            self._cancelled.add(driver)
            self._driving[driver][1].cancel()

    @contextlib.contextmanager
    def ends(self, driver: Driver) -> Iterator[None]:
        """Let a driver be stopped while it is under way; being stopped is no error."""
        task = asyncio.current_task()
        assert task is not None
        self._driving[driver] = (asyncio.get_running_loop(), task)
        try:
            if self._asked is not None:
                driver.drain()  # nothing is under way yet
            yield
        except asyncio.CancelledError:
            if driver not in self._cancelled or task.cancelling() > 1:
                raise
        finally:
            del self._driving[driver]
            if driver in self._cancelled:
                self._cancelled.discard(driver)
                task.uncancel()
