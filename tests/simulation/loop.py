"""An event loop whose time is made up: one thread, no sockets, and when nothing is ready it jumps to the next timer.

Every callback belongs to the simulated process it was scheduled by. A process that died never runs again, and one that hangs
runs again only once it is let go on; neither needs any help from the code that is simulated.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_THROWS = 50  # how often a coroutine that catches its own end is told again


class Process(msgspec.Struct, eq=False):
    """One simulated process: what is scheduled in it runs while it lives and does not hang."""

    name: str
    alive: bool = True
    hangs: bool = False
    held: list[asyncio.Handle] = []  # what would have run while it hung
    again: Callable[[], object] | None = None  # starts the next one of its kind
    main: asyncio.Task[None] | None = None
    leave: Callable[[], None] | None = None  # asks it to let go of everything and end


current_process: contextvars.ContextVar[Process | None] = contextvars.ContextVar("simulated_process", default=None)


class Stalled(Exception):  # noqa: N818 - no error of anybody's: the simulated world has come to a stop
    """Nothing is ready and no timer is set: nothing would ever happen again."""


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number, so that a set of tasks has the same order in every process."""

    number: int

    def __hash__(self) -> int:
        return self.number


class _Future(asyncio.Future[Any]):
    """As ``_Task``."""

    number: int

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop:
    """Has what asyncio's tasks, futures, timers and locks need of a loop, and nothing that reaches outside."""

    def __init__(self) -> None:
        self._self: Any = self  # as asyncio's types want a loop
        self._now = 0.0
        self._ready: deque[tuple[asyncio.Handle, Process | None]] = deque()
        self._timers: list[tuple[float, int, asyncio.Handle, Process | None]] = []
        self._numbers = 0
        self._tasks: list[_Task] = []
        self._closed = False
        self.faults: list[str] = []  # what a real loop would have logged

    # --- time and callbacks -----------------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the simulated monotonic time in seconds."""
        return self._now

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Run a callback in the next turn."""
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self._self, context)
        self._ready.append((handle, context.get(current_process)))
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback after some simulated seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a simulated moment."""
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self._self, context)
        heapq.heappush(self._timers, (when, self._number(), handle, context.get(current_process)))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it on the heap; it is passed over when its moment comes."""

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future."""
        future = _Future(loop=self._self)
        future.number = self._number()
        return future

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: object = None, context: contextvars.Context | None = None
    ) -> asyncio.Task[T]:
        """Return a task that begins in the next turn."""
        del name
        task = _Task.__new__(_Task)
        task.number = self._number()
        task.__init__(coro, loop=self._self, context=context)  # type: ignore[misc]  # it is hashed in there
        self._tasks.append(task)
        return task

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self, main: Coroutine[object, object, None]) -> None:
        """Run until ``main`` is over.

        Raises:
            Stalled: nothing would ever happen again, and it is not over.
        """
        asyncio._set_running_loop(self._self)
        try:
            task = self.create_task(main)
            while not task.done():
                self._turn()
            task.result()
        finally:
            asyncio._set_running_loop(None)

    def _turn(self) -> None:
        if not self._ready:
            while self._timers and self._timers[0][2].cancelled():
                heapq.heappop(self._timers)
            if not self._timers:
                raise Stalled("nothing is ready and no timer is set")
            self._now = max(self._now, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._now:
            _, _, handle, process = heapq.heappop(self._timers)
            self._ready.append((handle, process))
        for _ in range(len(self._ready)):
            handle, process = self._ready.popleft()
            if not handle.cancelled() and self._may_run(handle, process):
                handle._run()

    def _may_run(self, handle: asyncio.Handle, process: Process | None) -> bool:
        if process is None:
            return True
        if process.alive and process.hangs:
            process.held.append(handle)
            return False
        return process.alive

    def hang(self, process: Process) -> None:
        """Let a process stop where it stands."""
        process.hangs = True

    def go_on(self, process: Process) -> None:
        """Let a process that hung go on; all that came due meanwhile is done at once."""
        process.hangs = False
        self._ready.extend((handle, process) for handle in process.held)
        process.held = []

    def close(self) -> None:
        """Throw away what never came to its end, without a word: the processes it belonged to are gone."""
        self._closed = True
        for task in self._tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine: Any = task.get_coro()
            for _ in range(0 if task.done() else _THROWS):
                with contextlib.suppress(BaseException):
                    coroutine.close()
                    break
        self._tasks, self._timers = [], []
        self._ready.clear()

    # --- the rest of a loop -----------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """Tell that it runs: nobody sees it otherwise."""
        return not self._closed

    def is_closed(self) -> bool:
        """Tell whether it was closed."""
        return self._closed

    def get_debug(self) -> bool:
        """Stay out of debug mode."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what a real loop would log."""
        if not self._closed:
            self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")
