"""Ports whose calls fail as a test plans it, to see that what runs on them loses nothing and does nothing twice.

Their methods are those of the Protocols in ``durum.ports``, whatever these come to be: none can be left out.
"""

from __future__ import annotations

import contextlib
import inspect
from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, Any

from durum.errors import StoreUnavailableError, TransportError
from durum.ports import ArtifactStore, EventStore, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from durum.engine.engine import Store

    Plan = Callable[[str, int], "Fault | None"]
    MakeError = Callable[[str], BaseException]


class Fault(Enum):
    """How a call fails. Either way its caller gets the same error and cannot tell which it was."""

    NOT_DONE = "nothing was done"
    NOT_ACKNOWLEDGED = "it was done, the answer was lost"


def failing(method: str, fault: Fault, first: int = 1, last: int | None = None) -> Plan:
    """Plan that calls ``first`` to ``last`` of a method fail (1-based, both included; None: from then on)."""

    def plan(called: str, number: int) -> Fault | None:
        return fault if called == method and first <= number and (last is None or number <= last) else None

    return plan


class Nth:
    """Plan that the ``first`` to the ``last`` call of all fails, whatever it is; several ports may share one.

    ``calls`` names all of them in order, and ``failed`` those that failed.
    """

    def __init__(self, first: int, fault: Fault, last: int | None = None) -> None:
        self._first = first
        self._last = last
        self._fault = fault
        self.calls: list[str] = []
        self.failed: list[str] = []

    def __call__(self, called: str, number: int) -> Fault | None:
        """Say whether a call fails."""
        del number
        self.calls.append(called)
        if len(self.calls) < self._first or (self._last is not None and len(self.calls) > self._last):
            return None
        self.failed.append(called)
        return self._fault


def methods_of(*ports: type) -> dict[str, Callable[..., Any]]:
    """Return the methods of Protocols by name, without ``close``: what cannot be closed is left to the end of the process."""
    return {
        name: method
        for port in ports
        for name, method in vars(port).items()
        if inspect.isfunction(method) and not name.startswith("_") and name != "close"
    }


class Faulty:
    """Stands for a port; ``plan`` is asked before every call of a method it is made of, everything else is passed on.

    ``calls`` counts them by method. ``plan`` may be replaced at any time, by None for a port that works again.
    """

    def __init__(self, inner: object, methods: dict[str, Callable[..., Any]], plan: Plan | None, error: MakeError) -> None:
        self._inner = inner
        self._methods = methods
        self._error = error
        self.plan = plan
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever stands behind it
        found = getattr(self._inner, name)
        method = self._methods.get(name)
        if method is None:
            return found
        if inspect.iscoroutinefunction(method):
            return self._awaited(name, found)
        streams = str(method.__annotations__["return"]).startswith("AsyncGenerator")
        return self._streamed(name, found) if streams else self._plain(name, found)

    def _begin(self, name: str) -> tuple[Fault | None, BaseException]:
        self.calls[name] += 1
        fault = None if self.plan is None else self.plan(name, self.calls[name])
        return fault, self._error(f"{name} number {self.calls[name]} was planned to fail")

    def _awaited(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*given: object, **named: object) -> Any:  # noqa: ANN401
            fault, error = self._begin(name)
            if fault is Fault.NOT_DONE:
                raise error
            answer = await found(*given, **named)
            if fault is Fault.NOT_ACKNOWLEDGED:
                raise error
            return answer

        return call

    def _streamed(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        """Make a method that hands out pieces: one that fails hands none out, or all but the word that this was all."""

        async def call(*given: object, **named: object) -> AsyncGenerator[Any, None]:
            fault, error = self._begin(name)
            if fault is Fault.NOT_DONE:
                raise error
            async with contextlib.aclosing(found(*given, **named)) as pieces:
                async for piece in pieces:
                    yield piece
            if fault is Fault.NOT_ACKNOWLEDGED:
                raise error

        return call

    def _plain(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: object, **named: object) -> Any:  # noqa: ANN401
            fault, error = self._begin(name)
            if fault is Fault.NOT_DONE:
                raise error
            answer = found(*given, **named)
            if fault is Fault.NOT_ACKNOWLEDGED:
                raise error
            return answer

        return call


def away(reason: str) -> StoreUnavailableError:
    """Return what a store raises that is away."""
    return StoreUnavailableError("of this test", reason)


def lost(reason: str) -> TransportError:
    """Return what a transport raises that lost its line; trying again may help."""
    return TransportError(reason, retryable=True)


if TYPE_CHECKING:  # that they have every method, whoever checks types takes from these
    from durum.stores.memory import MemoryStore
    from durum.testing.transports import ScriptedTransport

    class _FaultyStore(Faulty, MemoryStore): ...

    class _FaultyTransport(Faulty, ScriptedTransport): ...  # type: ignore[misc]
else:
    _FaultyStore = _FaultyTransport = Faulty


class FaultyStore(_FaultyStore):
    """Implements ``EventStore`` and ``ArtifactStore`` by another store, as ``Faulty`` says."""

    def __init__(self, store: Store, plan: Plan | None = None, error: MakeError = away) -> None:
        super().__init__(store, methods_of(EventStore, ArtifactStore), plan, error)


class FaultyTransport(_FaultyTransport):
    """Implements ``Transport`` by another transport, as ``Faulty`` says."""

    def __init__(self, transport: Transport, plan: Plan | None = None, error: MakeError = lost) -> None:
        super().__init__(transport, methods_of(Transport), plan, error)
