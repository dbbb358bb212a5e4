"""Time that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class ManualClock:
    """Implements ``Clock``. Time moves by ``advance`` and, with ``auto_advance``, when something sleeps: at once to its end."""

    def __init__(self, now_ms: int = 1_700_000_000_000, *, auto_advance: bool = False) -> None:
        self._now_ms = now_ms
        self._auto_advance = auto_advance
        self._lock = threading.Lock()
        self._sleepers: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = []

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return self._now_ms

    @property
    def due(self) -> list[int]:
        """What is slept for now, the earliest first."""
        with self._lock:
            return sorted(due_ms for due_ms, _, _ in self._sleepers)

    def advance(self, milliseconds: int) -> None:
        """Move time on and wake who is due; from any thread."""
        if milliseconds < 0:
            raise ValueError("time moves on, not back")
        with self._lock:
            self._now_ms += milliseconds
            for due_ms, loop, wake in self._sleepers:
                if due_ms <= self._now_ms:
                    with contextlib.suppress(RuntimeError):  # its loop was closed meanwhile
                        loop.call_soon_threadsafe(wake.set)

    async def sleep_until(self, due_ms: int) -> None:
        """Return once it is ``due_ms``."""
        await asyncio.sleep(0)
        with self._lock:
            if self._auto_advance:
                self._now_ms = max(self._now_ms, due_ms)
            if self._now_ms >= due_ms:
                return
            sleeper = (due_ms, asyncio.get_running_loop(), asyncio.Event())
            self._sleepers.append(sleeper)
        try:
            await sleeper[2].wait()
        finally:
            with self._lock:
                self._sleepers.remove(sleeper)
