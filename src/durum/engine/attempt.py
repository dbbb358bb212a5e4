"""One attempt of a state executed: the same code path live and in replay, whatever the step does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from durum.codec import EVENT_KINDS
from durum.core.canonical import canonical_json, normalized
from durum.core.config import RunConfig
from durum.core.events import RESERVED_EVENT_NAMES, DomainEvent
from durum.core.failure import (
    EFFECT_UNKNOWN,
    ORPHAN_ATTEMPT_RECOVERED,
    RUN_CANCELLED,
    STEP_RAISED,
    STEP_TIMEOUT,
    ErrorInfo,
    describe,
    failure,
)
from durum.core.known_secrets import KnownSecrets
from durum.core.secrets import refuse_secrets
from durum.core.state import DONE, Child, Items, SnapshotPolicy, StateOutcome
from durum.engine.context import Committed
from durum.engine.io import Io, Provider
from durum.engine.secret_guard import SecretGuard
from durum.engine.settling import leave_behind
from durum.errors import ConfigError, DurumError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from durum.core.state import State
    from durum.engine.artifacts import ArtifactReader
    from durum.engine.context import ContextOverlay

Ended = StateOutcome | BaseException
"""How a handler ended: what it returned, or what it raised."""

_GRACE_SECONDS = 0.25
_STOP_SECONDS = 2.0
_MAX_EVENT_NAME_CHARACTERS = 255
_TIMED_OUT = TimeoutError()
_CANCELLED = asyncio.CancelledError()
_ENGINE_CODES = frozenset({EFFECT_UNKNOWN, ORPHAN_ATTEMPT_RECOVERED, RUN_CANCELLED, STEP_TIMEOUT})
_CANCELLED_HINT = "the step cancelled itself; catch asyncio.CancelledError or use a timeout of its own"


class DomainEvents(msgspec.Struct, eq=False):
    """Implements ``EventRecorder``: checks what a step reports and hands it on."""

    _config: RunConfig
    _sink: Callable[[DomainEvent], None]
    guard: SecretGuard = msgspec.field(default_factory=lambda: SecretGuard(KnownSecrets()))  # replay resolves no secret
    open: bool = True
    __repr__ = object.__repr__  # for whoever prints what a step is handed

    def emit(self, name: str, payload: object = None, *, verbose: bool = False) -> Any:  # noqa: ANN401 - see ``Done``
        """Add one domain event to the next append; reserved names are refused."""
        name = _checked_event_name(name)
        data = canonical_json(payload)
        member = b"{%b:%b}" % (canonical_json(name), data)
        refuse_secrets("a domain event", member)
        self.guard.check("a domain event", member)
        if self.open and self._config.keeps_domain_event(name, verbose=verbose):
            self._sink(DomainEvent(name=name, payload=msgspec.Raw(data)))
        return DONE

    def emit_many(self, events: Iterable[tuple[str, object]]) -> Any:  # noqa: ANN401 - see ``Done``
        """Add several domain events, given as (name, payload), in order."""
        for name, payload in events:
            self.emit(name, payload)
        return DONE


def _checked_event_name(name: object) -> str:
    """Return an event's name as plain text; an instance of a subclass of ``str`` might pass for another name later."""
    plain = normalized(name) if issubclass(type(name), str) else None  # refuses what UTF-8 cannot hold
    if not isinstance(plain, str) or not 0 < len(plain) <= _MAX_EVENT_NAME_CHARACTERS:
        message = f"an event's name is a text of 1 to {_MAX_EVENT_NAME_CHARACTERS} characters"
        raise ConfigError(message)
    if plain in RESERVED_EVENT_NAMES or plain in EVENT_KINDS:
        message = f"event name {plain!r} is reserved for the engine; choose another"
        raise ConfigError(message)
    return plain


class Executed(msgspec.Struct, frozen=True):
    """How an attempt ended: what it leaves, or why it failed, and then what it had staged if its state asks for that."""

    committed: Committed | None
    error: ErrorInfo | None
    extension: Items | Child | None = None
    diagnostic: Committed | None = None


async def execute(
    state: State,
    overlay: ContextOverlay,
    provider: Provider,
    events: DomainEvents,
    reader: ArtifactReader,
    *,
    timeout_ms: int | None,
    progress: Callable[[str], None],
    cancelled: asyncio.Future[None] | None = None,
) -> Executed:
    """Run a handler once and return how it ended; nothing a handler raises or swallows escapes from here."""
    io = Io(provider, events, reader, progress)
    handler = _guarded(state, overlay, io, events)
    try:
        ended = await (handler if getattr(state, "inline", False) else _bounded(handler, timeout_ms, cancelled))
    finally:
        events.open = False
    if events.guard.refused is not None and ended is not _TIMED_OUT and ended is not _CANCELLED:
        ended = events.guard.refused
    if isinstance(ended, StateOutcome):
        try:
            _refuse_known_secrets(events.guard, overlay, ended.extension)
            return Executed(await overlay.commit(), None, ended.extension)
        except (DurumError, RecursionError) as error:
            ended = error
    failed = _failure_of(state, ended, timeout_ms, events.guard)
    return Executed(None, failed, diagnostic=await _diagnostic(state, overlay, events.guard))


def _refuse_known_secrets(guard: SecretGuard, overlay: ContextOverlay, extension: Items | Child | None = None) -> None:
    """Refuse what an attempt would leave if it holds the value of a secret: what it wrote, and the inputs of a child run."""
    if not guard.known:
        return
    for data in overlay.staged():
        guard.check("the context", data)
    if isinstance(extension, Child):
        guard.check_value("an input of a child run", extension.inputs)


def _failure_of(state: State, raised: BaseException, timeout_ms: int | None, guard: SecretGuard) -> ErrorInfo:
    """Return what is written of a failed attempt."""
    if raised is _CANCELLED:
        return failure(RUN_CANCELLED, "the run was cancelled while the step was under way")
    if raised is _TIMED_OUT:
        return failure(STEP_TIMEOUT, f"the step took longer than its {timeout_ms} ms", retryable=True)
    if isinstance(raised, asyncio.CancelledError):
        return failure("step_cancelled", _CANCELLED_HINT)
    info = describe(raised, retryable=_verdict(state, raised), scrub=guard.scrub)
    if info.code in _ENGINE_CODES:  # only the engine's own finding may mean that
        info = msgspec.structs.replace(info, code=STEP_RAISED)
    return info


async def _diagnostic(state: State, overlay: ContextOverlay, guard: SecretGuard) -> Committed | None:
    """Return what a failed attempt had staged, if its state wants that kept; what goes wrong here is not the failure."""
    try:
        if getattr(state, "snapshot", None) != SnapshotPolicy.ALWAYS:
            return None
        _refuse_known_secrets(guard, overlay)
        return await overlay.commit()
    except Exception:  # noqa: BLE001 - a state and its reducers are arbitrary code
        return None


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


async def _guarded(state: State, overlay: ContextOverlay, io: Io, events: DomainEvents) -> Ended:
    """Await a handler and return what it returned or raised: it may raise anything, SystemExit too, and nothing may escape."""
    try:
        returned: object = await state.handle(overlay, io, events)
    except KeyboardInterrupt:
        raise  # a person stops the process; the run goes on where it stands
    except BaseException as error:  # noqa: BLE001 - a step is arbitrary code; what it raises is its outcome
        return error
    return returned if isinstance(returned, StateOutcome) else StateOutcome()


async def _bounded(
    handler: Coroutine[object, object, Ended], timeout_ms: int | None, cancelled: asyncio.Future[None] | None
) -> Ended:
    """Await a guarded handler for as long as it may take; one that does not end is cancelled and left behind.

    The handler has a task of its own, so that a step that cancels its own task is not mistaken for the engine being stopped.
    """
    work = asyncio.create_task(handler)
    try:
        await _first(work, cancelled, timeout_ms)
    except asyncio.CancelledError:
        await _end(work, _STOP_SECONDS)
        raise
    if not work.done():
        await _end(work, _GRACE_SECONDS)
        return _TIMED_OUT if cancelled is None or not cancelled.done() else _CANCELLED
    return asyncio.CancelledError() if work.cancelled() else work.result()


async def _first(work: asyncio.Task[Ended], cancelled: asyncio.Future[None] | None, timeout_ms: int | None) -> None:
    """Return once the work is done, somebody cancelled it, or its time is up; half of what ``asyncio.wait`` costs."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    alarm = None if timeout_ms is None else loop.call_later(timeout_ms / 1000, wake)
    work.add_done_callback(wake)
    if cancelled is not None:
        cancelled.add_done_callback(wake)
    try:
        await waiter
    finally:
        work.remove_done_callback(wake)
        if cancelled is not None:
            cancelled.remove_done_callback(wake)
        if alarm is not None:
            alarm.cancel()


async def _end(work: asyncio.Task[Ended], seconds: float) -> None:
    """Cancel a handler and give it a moment to clean up; one that swallows the cancellation is left behind."""
    leave_behind(work)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait({work}, timeout=seconds)
