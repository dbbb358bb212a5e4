"""One attempt of a state executed: the same code path live and in replay, whatever the step does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from durum.core.canonical import canonical_json
from durum.core.events import RESERVED_EVENT_NAMES, DomainEvent
from durum.core.failure import (
    EFFECT_UNKNOWN,
    ORPHAN_ATTEMPT_RECOVERED,
    STEP_RAISED,
    STEP_TIMEOUT,
    ErrorInfo,
    describe,
    failure,
)
from durum.core.secrets import refuse_secrets
from durum.core.state import DONE
from durum.engine.context import Committed
from durum.engine.io import Io, Provider
from durum.errors import ConfigError, DurumError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from durum.core.config import RunConfig
    from durum.core.state import State
    from durum.engine.artifacts import ArtifactReader
    from durum.engine.context import ContextOverlay

_GRACE_SECONDS = 0.25
_STOP_SECONDS = 2.0
_MAX_EVENT_NAME_CHARACTERS = 255
_TIMED_OUT = TimeoutError()
_ENGINE_CODES = frozenset({EFFECT_UNKNOWN, ORPHAN_ATTEMPT_RECOVERED, STEP_TIMEOUT})
_CANCELLED_HINT = "the step cancelled itself; catch asyncio.CancelledError or use a timeout of its own"


class DomainEvents:
    """Implements ``EventRecorder``: checks what a step reports and hands it on."""

    def __init__(self, config: RunConfig, sink: Callable[[DomainEvent], None]) -> None:
        self._config = config
        self._sink = sink
        self.open = True

    def emit(self, name: str, payload: object = None, *, verbose: bool = False) -> Any:  # noqa: ANN401 - see ``Done``
        """Add one domain event to the next append; reserved names are refused."""
        _check_event_name(name)
        data = canonical_json(payload)
        refuse_secrets(f"event {name!r}", data)
        if self.open and self._config.keeps_domain_event(name, verbose=verbose):
            self._sink(DomainEvent(name=name, payload=msgspec.Raw(data)))
        return DONE

    def emit_many(self, events: Iterable[tuple[str, object]]) -> Any:  # noqa: ANN401 - see ``Done``
        """Add several domain events, given as (name, payload), in order."""
        for name, payload in events:
            self.emit(name, payload)
        return DONE


def _check_event_name(name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_EVENT_NAME_CHARACTERS:
        message = f"an event's name is a text of 1 to {_MAX_EVENT_NAME_CHARACTERS} characters"
        raise ConfigError(message)
    if name in RESERVED_EVENT_NAMES:
        message = f"event name {name!r} is reserved for the engine; choose another"
        raise ConfigError(message)
    canonical_json(name)  # refuses what UTF-8 cannot hold


class Executed(msgspec.Struct, frozen=True):
    """How an attempt ended: what it leaves, or why it failed."""

    committed: Committed | None
    error: ErrorInfo | None


async def execute(
    state: State,
    overlay: ContextOverlay,
    provider: Provider,
    events: DomainEvents,
    reader: ArtifactReader,
    *,
    timeout_ms: int | None,
    progress: Callable[[str], None],
) -> Executed:
    """Run a handler once and return how it ended; nothing a handler raises or swallows escapes from here."""
    io = Io(provider, events, reader, progress)
    handler = _guarded(state, overlay, io, events)
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
    info = describe(raised, retryable=_verdict(state, raised))
    if info.code in _ENGINE_CODES:  # only the engine's own finding may mean that
        info = msgspec.structs.replace(info, code=STEP_RAISED)
    return Executed(None, info)


def _verdict(state: State, raised: BaseException) -> bool | None:
    """Return whether the state says itself that the failure is worth another attempt, None if it does not say."""
    judge = getattr(state, "retryable", None)
    if judge is None or not isinstance(raised, Exception):
        return None
    try:
        verdict = judge(raised)
    except Exception:  # noqa: BLE001 - a state is arbitrary code; what it cannot tell it does not say
        return None
    return verdict if isinstance(verdict, bool) else None


async def _guarded(state: State, overlay: ContextOverlay, io: Io, events: DomainEvents) -> BaseException | None:
    """Await a handler and return what it raised: a step may raise anything, SystemExit included, and nothing may escape."""
    try:
        await state.handle(overlay, io, events)
    except KeyboardInterrupt:
        raise  # a person stops the process; the run goes on where it stands
    except BaseException as error:  # noqa: BLE001 - a step is arbitrary code; what it raises is its outcome
        return error
    return None


async def _bounded(handler: Coroutine[object, object, BaseException | None], timeout_ms: int | None) -> BaseException | None:
    """Await a guarded handler for as long as it may take; one that does not end is cancelled and left behind.

    The handler has a task of its own, so that a step that cancels its own task is not mistaken for the engine being stopped.
    """
    work = asyncio.create_task(handler)
    try:
        await asyncio.wait({work}, timeout=None if timeout_ms is None else timeout_ms / 1000)
    except asyncio.CancelledError:
        await _end(work, _STOP_SECONDS)
        raise
    if not work.done():
        await _end(work, _GRACE_SECONDS)
        return _TIMED_OUT
    return asyncio.CancelledError() if work.cancelled() else work.result()


async def _end(work: asyncio.Task[BaseException | None], seconds: float) -> None:
    """Cancel a handler and give it a moment to clean up; one that swallows the cancellation is left behind.

    It is off the loop's books from here on, so that neither the end of the run nor a second signal waits for it for ever.
    """
    work.cancel()
    asyncio.tasks._unregister_task(work)  # noqa: SLF001 - documented under "Task lifetime support"
    work._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it may well be pending then
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait({work}, timeout=seconds)
