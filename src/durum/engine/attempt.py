"""One attempt of a state executed: the same code path live and in replay, whatever the step does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from durum.core.canonical import canonical_json, decode_json
from durum.core.events import RESERVED_EVENT_NAMES, DomainEvent
from durum.core.failure import STEP_TIMEOUT, ErrorInfo, describe, failure
from durum.core.secrets import find_secret, may_hold_secret
from durum.engine.context import Committed
from durum.engine.io import Io
from durum.errors import ConfigError, DurumError, SecretsDetectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from durum.core.config import RunConfig
    from durum.core.state import IoProvider, State
    from durum.engine.artifacts import ArtifactReader
    from durum.engine.context import ContextOverlay

_GRACE_SECONDS = 0.25
_TIMED_OUT = TimeoutError()
_CANCELLED_HINT = "the step cancelled itself; catch asyncio.CancelledError or use a timeout of its own"


class DomainEvents:
    """Implements ``EventRecorder``: checks what a step reports and hands it on."""

    def __init__(self, config: RunConfig, sink: Callable[[DomainEvent], None]) -> None:
        self._config = config
        self._sink = sink
        self.open = True

    def emit(self, name: str, payload: object, *, verbose: bool = False) -> None:
        """Add one domain event to the next append; reserved names are refused."""
        if name in RESERVED_EVENT_NAMES or not name:
            message = f"event name {name!r} is reserved for the engine; choose another"
            raise ConfigError(message)
        data = canonical_json(payload)
        if may_hold_secret(data):
            found = find_secret(decode_json(data))
            if found is not None:
                raise SecretsDetectedError(f"event {name!r}", *found)
        if self.open and self._config.keeps_domain_event(name, verbose=verbose):
            self._sink(DomainEvent(name=name, payload=msgspec.Raw(data)))


class Executed(msgspec.Struct, frozen=True):
    """How an attempt ended: what it leaves, or why it failed."""

    committed: Committed | None
    error: ErrorInfo | None


async def execute(
    state: State,
    overlay: ContextOverlay,
    provider: IoProvider,
    events: DomainEvents,
    reader: ArtifactReader,
    *,
    timeout_ms: int | None,
    progress: Callable[[str], None],
) -> Executed:
    """Run a handler once and return how it ended; nothing a handler raises or swallows escapes from here."""
    io = Io(provider, events, reader, progress)
    handler = _guarded(state.handle(overlay, io, events))
    try:
        raised = await (handler if getattr(state, "inline", False) else _bounded(handler, timeout_ms))
    finally:
        events.open = False
    if raised is _TIMED_OUT:
        return Executed(None, failure(STEP_TIMEOUT, f"the step took longer than its {timeout_ms} ms", retryable=True))
    if raised is None:
        try:
            return Executed(await overlay.commit(), None)
        except (DurumError, RecursionError) as error:
            raised = error
    if isinstance(raised, asyncio.CancelledError):
        return Executed(None, failure("step_cancelled", _CANCELLED_HINT))
    judge = getattr(state, "retryable", None)
    verdict = None if judge is None or not isinstance(raised, Exception) else judge(raised)
    return Executed(None, describe(raised, retryable=verdict))


async def _guarded(handler: Coroutine[object, object, object]) -> BaseException | None:
    """Await a handler and return what it raised: a step may raise anything, SystemExit included, and nothing may escape."""
    try:
        await handler
    except BaseException as error:  # noqa: BLE001 - a step is arbitrary code; what it raises is its outcome
        return error
    return None


async def _bounded(handler: Coroutine[object, object, BaseException | None], timeout_ms: int | None) -> BaseException | None:
    """Await a guarded handler for as long as it may take; one that does not end is cancelled and left behind.

    The handler has a task of its own, so that a step that cancels its own task is not mistaken for the engine being stopped.
    """
    work = asyncio.ensure_future(handler)
    try:
        await asyncio.wait({work}, timeout=None if timeout_ms is None else timeout_ms / 1000)
    except asyncio.CancelledError:
        work.cancel()
        raise
    if not work.done():
        work.cancel()  # a handler that swallows this lives on, but its attempt is closed and its IO refused
        await asyncio.wait({work}, timeout=_GRACE_SECONDS)
        return _TIMED_OUT
    return asyncio.CancelledError() if work.cancelled() else work.result()
