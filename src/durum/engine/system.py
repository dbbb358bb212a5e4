"""The machine's own clock and randomness, behind the ports."""

from __future__ import annotations

import asyncio
import os
import random
import time

_LONGEST_SLEEP_SECONDS = 60.0


class SystemClock:
    """Implements ``Clock`` by the system's wall time."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    async def sleep_until(self, due_ms: int) -> None:
        """Return once it is ``due_ms``; looks at the clock again every minute, for it may be set meanwhile."""
        while (left := (due_ms - self.now_ms()) / 1000) > 0:  # noqa: ASYNC110 - it is time itself that is waited for
            await asyncio.sleep(min(left, _LONGEST_SLEEP_SECONDS))


class SystemEntropy:
    """Implements ``Entropy`` by the operating system's generator."""

    def random_bytes(self, n: int) -> bytes:
        """Return ``n`` random bytes."""
        return os.urandom(n)

    def uniform(self) -> float:
        """Return a float in [0, 1)."""
        return random.SystemRandom().random()
