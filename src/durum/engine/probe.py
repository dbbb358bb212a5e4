"""The ``io`` of a ``reconcile`` hook: it reads the outside live and records nothing, for its verdict is what is recorded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from durum.core.facts import checked_request, outcome
from durum.core.state import DONE, IoCall, IoResult
from durum.engine.io import Io
from durum.errors import IoError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from durum.engine.live_io import LiveIo

_NOTHING = "a reconcile hook only looks; it records nothing and applies no effect"


def probe(io: LiveIo) -> Io:
    """Return an ``Io`` for one hook of an attempt."""
    return Io(_Probe(io), _Silence(), io.world.reader, lambda _: None)


class _Probe:
    """Implements ``Provider``: reads only."""

    def __init__(self, io: LiveIo) -> None:
        self._io = io

    async def call(self, call: IoCall) -> IoResult:
        """Return the outcome of a read, live."""
        self._io.check_open()
        if not call.read:
            raise IoError(_NOTHING)
        checked_request(call)
        payload, _, _ = await self._io.outcome_of(call, None)
        self._io.check_open()
        return IoResult(outcome(payload), None)

    async def record_value(self, key: str, value: object) -> str:
        """Refuse."""
        del key, value
        raise IoError(_NOTHING)

    async def get_recorded_fact(self, key: str) -> str | None:
        """Return the artifact id bound to a key."""
        bound = self._io.find(key)
        return None if bound is None else bound.payload_id

    async def now_millis(self) -> int:
        """Return the time."""
        return self._io.world.clock.now_ms()

    async def random_bytes(self, n: int) -> bytes:
        """Return random bytes."""
        return self._io.world.entropy.random_bytes(n)

    async def pause(self, seconds: float) -> None:
        """Pause inside the process."""
        await asyncio.sleep(seconds)


class _Silence:
    """Implements ``EventRecorder``: reports nothing."""

    def emit(self, name: str, payload: object = None, *, verbose: bool = False) -> Any:  # noqa: ANN401 - see ``Done``
        """Refuse."""
        del name, payload, verbose
        raise IoError(_NOTHING)

    def emit_many(self, events: Iterable[tuple[str, object]]) -> Any:  # noqa: ANN401 - see ``Done``
        """Refuse, unless there is nothing."""
        for name, payload in events:
            self.emit(name, payload)
        return DONE
