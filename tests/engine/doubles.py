"""Fakes the engine tests run against: a clock that is always on time, scripted transports, stores that misbehave."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from durum.core.canonical import JsonObject
    from durum.ports import TransportCall

START_MS = 1_700_000_000_000


class InstantClock:
    """A clock that jumps to whatever moment is waited for, and remembers which."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now = now_ms
        self.waited: list[int] = []

    def now_ms(self) -> int:
        """Return the moment the clock stands at."""
        return self.now

    async def sleep_until(self, due_ms: int) -> None:
        """Jump there."""
        await asyncio.sleep(0)
        self.waited.append(due_ms)
        self.now = max(self.now, due_ms)


class FixedEntropy:
    """Chance that is always the same: bytes that count up, or never change if ``counts`` is False."""

    def __init__(self, uniform: float = 0.5, *, counts: bool = True) -> None:
        self._uniform = uniform
        self._counts = counts
        self._drawn = 0

    def random_bytes(self, n: int) -> bytes:
        """Return the next bytes."""
        self._drawn += self._counts
        return self._drawn.to_bytes(n, "big")

    def uniform(self) -> float:
        """Return the one number."""
        return self._uniform


class Scripted:
    """A transport that does what the test's function does; every request is kept in ``seen``."""

    def __init__(self, answer: Callable[[JsonObject, TransportCall], Any]) -> None:
        self._answer = answer
        self.seen: list[JsonObject] = []
        self.effect_keys: list[str | None] = []
        self.closed = 0

    async def call(self, request: JsonObject, call: TransportCall) -> Any:
        """Return what the script returns, awaited if it is to be awaited."""
        self.seen.append(request)
        self.effect_keys.append(call.effect_key)
        result = self._answer(request, call)
        return await result if asyncio.iscoroutine(result) else result

    async def close(self) -> None:
        """Count."""
        self.closed += 1


def counting(answers: Sequence[Any] = ()) -> Scripted:
    """Return a transport that gives ``answers`` in turn (raising exceptions), then the number of the call."""
    script = list(answers)

    def answer(request: JsonObject, call: TransportCall) -> Any:
        del request, call
        if script:
            given = script.pop(0)
            if isinstance(given, BaseException):
                raise given
            return given
        return len(transport.seen)

    transport = Scripted(answer)
    return transport
