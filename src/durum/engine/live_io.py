"""Live IO: a call is answered from the record if its key is bound, otherwise performed once and recorded before it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import msgspec

from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import canonical_json, decode_json, digest_bytes, normalized
from durum.core.events import FactRecorded
from durum.core.facts import (
    FactIndex,
    KeyMaker,
    check_effect,
    checked_request,
    checked_value,
    error_bytes,
    explicit_key,
    outcome,
    request_object,
    success_bytes,
    used_digest,
)
from durum.core.failure import code_of, text_of
from durum.core.secrets import redact, redact_text
from durum.core.state import IoCall, IoResult, UnknownEffect
from durum.engine.artifacts import ArtifactReader
from durum.engine.effects import Effects, Wanted
from durum.engine.recorder import Recorder
from durum.engine.secret_guard import SecretGuard
from durum.engine.settling import come_to_rest
from durum.engine.transports import TransportRegistry
from durum.engine.world_faults import worlds_fault
from durum.errors import CanonicalJsonError, FactConflictError, TransportError, WorldError
from durum.ports import Clock, Entropy

if TYPE_CHECKING:
    from durum.core.canonical import JsonValue
    from durum.core.events import FactOutcome, FactScope
    from durum.engine.transports import CallHandle

CANCELLED = canonical_json({"cancelled": True})

NOT_BEGUN = frozenset(
    {
        "address_refused",
        "command_not_allowed",
        "command_not_found",
        "command_not_started",
        "cwd_not_found",
        "file_is_directory",
        "file_not_found",
        "file_permission",
        "http_connect",
        "http_tls",
        "invalid_request",
        "secret_missing",
        "unknown_namespace",
    }
)
"""Codes of failures that come before anything was done outside, so that an effect may be tried again."""


Reconcile = Callable[[UnknownEffect, object], Awaitable[object]]
"""Asked what became of an effect; the second argument is an ``Io`` that only reads and records nothing."""


class Attempt(msgspec.Struct):
    """One attempt under way: where it stands, what it may do, and whether it is still open."""

    state_id: str
    number: int
    applies_effects: bool
    effect_key: str  # of its first effect
    idempotent: bool = False  # an effect may be asked for again under its key
    reconcile: Reconcile | None = None
    open: bool = True


class World(msgspec.Struct):
    """What live calls reach the outside with, shared by the attempts of a run."""

    recorder: Recorder
    reader: ArtifactReader
    facts: FactIndex
    transports: TransportRegistry
    clock: Clock
    entropy: Entropy
    acting: dict[asyncio.Task[None], str] = {}  # effects under way -> their effect keys
    turns: WeakValueDictionary[str, asyncio.Lock] | None = None  # of effects, by their keys
    away: WorldError | None = None  # what keeps this process from driving the run on: no step's doing, and no step's failure

    def leave(self, error: WorldError) -> None:
        """Let every attempt end without an outcome: the run is driven on when the machine or the store is well again."""
        self.away = self.away or error

    def turn(self, effect_key: str) -> asyncio.Lock:
        """Return what lets one state at a time ask for an effect: two may share its key."""
        if self.turns is None:
            self.turns = WeakValueDictionary()
        return self.turns.setdefault(effect_key, asyncio.Lock())


class LiveIo:
    """Implements ``IoProvider`` for one attempt."""

    def __init__(self, world: World, attempt: Attempt) -> None:
        self.world = world
        self.attempt = attempt
        self.guard = SecretGuard(world.transports.known)
        self._keys = KeyMaker(attempt.state_id)
        self.flying: dict[str, str] = {}  # fact key -> namespace of calls without an outcome yet
        self._begun = 0  # calls that were not answered from the record
        self.used: dict[str, str] = {}  # fact key -> payload id, of every fact this attempt went by
        self.effects_begun: Effects | None = None

    @property
    def effects(self) -> Effects:
        """The attempt's effects; few attempts have any."""
        if self.effects_begun is None:
            self.effects_begun = Effects(self)
        return self.effects_begun

    # --- the provider -----------------------------------------------------------------------------------------------

    async def call(self, call: IoCall) -> IoResult:
        """Return the outcome of a call, from the record if its key is bound."""
        self.check_open()
        request = checked_request(call)
        self.guard.check("a request", request)
        request_id = digest_bytes(request)
        key = self._keys.key(call.namespace, request_id) if call.fact_key is None else self._explicit_key(call.fact_key)
        effect_key = "" if call.read else self.effects.next_key(key)  # one that is served from the record counts as well
        bound = self.find(key)
        if bound is not None:
            return await self._serve(bound)
        self._begun += 1
        asked: Any = decode_json(request)  # what is recorded is what is done, whatever the step's own objects say later
        call = msgspec.structs.replace(call, request=asked["request"])
        if call.read:
            return await self._read(call, key, request, request_id)
        check_effect(call, self.attempt.state_id, applies_effects=self.attempt.applies_effects)
        return await self.effects.perform(Wanted(call, key, request, request_id, effect_key))

    async def record_value(self, key: str, value: object) -> str:
        """Bind a value to an explicit key; binding the same value again is no work."""
        self.check_open()
        payload = checked_value(key, value)
        self.guard.check("a fact", payload)
        payload_id = digest_bytes(payload)
        bound = self.find(self._explicit_key(key))
        if bound is None:
            self._stage(key, "value", payload, None, "success", "run")
            await self.world.recorder.commit()
        elif bound.payload_id != payload_id:
            raise FactConflictError(key)
        self.used[key] = payload_id
        return payload_id

    async def get_recorded_fact(self, key: str) -> str | None:
        """Return the artifact id bound to a key in this attempt's sight."""
        self.check_open()
        bound = self.find(key)
        if bound is None:
            return None
        self.used[key] = bound.payload_id
        return bound.payload_id

    async def now_millis(self) -> int:
        """Return the time; it binds within the attempt."""
        value = await self._cheap("clock", {}, self.world.clock.now_ms, "attempt")
        assert isinstance(value, int)
        return value

    async def random_bytes(self, n: int) -> bytes:
        """Return random bytes; they bind for every attempt."""
        value = await self._cheap("random", {"bytes": n}, lambda: self.world.entropy.random_bytes(n).hex(), "run")
        assert isinstance(value, str)
        return bytes.fromhex(value)

    async def pause(self, seconds: float) -> None:
        """Pause inside the process."""
        self.check_open()
        await asyncio.sleep(seconds)

    # --- one call ---------------------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """A task that outlives its attempt may neither call nor record, nor may anyone while the world is away."""
        if not self.attempt.open:
            raise asyncio.CancelledError
        if self.world.away is not None:
            raise self.world.away

    def _explicit_key(self, key: str) -> str:
        self.guard.check_value("a fact key", key)
        return explicit_key(key)

    def find(self, key: str) -> FactRecorded | None:
        """Return what is bound to a key in this attempt's sight."""
        return self.world.facts.find(key, self.attempt.state_id, self.attempt.number)

    def is_answered(self, key: str) -> bool:
        """Tell whether a key has an outcome; this attempt goes by it from here on."""
        bound = self.find(key)
        if bound is None or bound.outcome == "cancelled":
            return False
        self.used.setdefault(key, bound.payload_id)
        return True

    async def _serve(self, fact: FactRecorded) -> IoResult:
        self.used[fact.key] = fact.payload_id
        if fact.outcome == "cancelled":
            await asyncio.get_running_loop().create_future()
        return IoResult(outcome(await self.world.reader.get(fact.payload_id)), fact.payload_id)

    async def _cheap(self, namespace: str, request: dict[str, JsonValue], draw: object, scope: FactScope) -> JsonValue:
        """Answer from inside the process; the fact is staged and becomes durable with the next commit."""
        self.check_open()
        request_bytes = canonical_json(request_object(namespace, request))
        key = self._keys.key(namespace, digest_bytes(request_bytes))
        bound = self.find(key)
        if bound is not None:
            return (await self._serve(bound)).response
        value: JsonValue = draw()  # type: ignore[operator]
        self._stage(key, namespace, success_bytes(value), None, "success", scope)
        return value

    async def _read(self, call: IoCall, key: str, request: bytes, request_id: str) -> IoResult:
        recorder = self.world.recorder
        self.flying[key] = call.namespace  # from here on the step may stop waiting for it
        try:
            await recorder.commit()  # cheap facts become durable before the outside can see them
            self.check_open()
            payload, result, artifact_ids = await self.outcome_of(call, None)
            self.check_open()
            bound = self.find(key)
            if bound is None:
                recorder.keep(ArtifactKind.FACT_PAYLOAD, request, request_id)
                scope: FactScope = "run" if result == "success" and call.keep == "run" else "attempt"
                await self.record(key, call.namespace, payload, request_id, result, scope, artifact_ids)
        except asyncio.CancelledError:
            self.cancelled(key)
            raise
        self.flying.pop(key, None)
        if bound is not None:  # an explicit key that another call bound meanwhile: the first binding wins
            return await self._serve(bound)
        return IoResult(outcome(payload), self.used[key])

    async def outcome_of(self, call: IoCall, effect_key: str | None) -> tuple[bytes, FactOutcome, tuple[str, ...]]:
        """Return the outcome artifact of a live call, what it is, and what was streamed. Whatever happened is an outcome."""
        handle = self.world.transports.handle(effect_key, self.world.reader)
        await come_to_rest()
        if effect_key is not None:
            self.world.recorder.check_lease()
        try:
            if call.body is None:
                response = await self.world.transports.get(call.namespace).call(call.request, handle)
            else:
                response = await call.body()
            clean = redact(handle.scrub(normalized(response)))  # whole values first: a format may fit a part of one
            if call.judge is not None:
                call.judge(clean)  # it cuts texts short, and half a secret is not found any more
            payload = success_bytes(clean)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or (isinstance(error, asyncio.CancelledError) and _is_being_cancelled()):
                raise
            if (fault := worlds_fault(error)) is not None:
                self.world.leave(fault)
            return *_failed(call.namespace, handle, error), handle.artifact_ids
        return payload, "success", handle.artifact_ids

    def _stage(
        self,
        key: str,
        namespace: str,
        payload: bytes,
        request_id: str | None,
        result: FactOutcome,
        scope: FactScope,
        begun: int = 1,
        artifact_ids: tuple[str, ...] = (),
    ) -> None:
        recorder, attempt = self.world.recorder, self.attempt
        payload_id = recorder.keep(ArtifactKind.FACT_PAYLOAD, payload)
        fact = FactRecorded(
            artifact_ids=artifact_ids,
            begun=begun,
            key=key,
            namespace=namespace,
            outcome=result,
            payload_id=payload_id,
            request_id=request_id,
            scope=scope,
        )
        recorder.stage(fact, attempt.state_id, attempt.number)
        self.world.facts.add(fact, attempt.state_id, attempt.number)
        self.used.setdefault(key, payload_id)

    async def record(
        self,
        key: str,
        namespace: str,
        payload: bytes,
        request_id: str | None,
        result: FactOutcome,
        scope: FactScope,
        artifact_ids: tuple[str, ...] = (),
    ) -> None:
        """Bind the outcome of a call, durably."""
        self._stage(key, namespace, payload, request_id, result, scope, self._begun, artifact_ids)
        await self.world.recorder.commit()

    def cancelled(self, key: str) -> None:
        """A call whose answer the step did not wait for has an outcome too: replay must not answer it either."""
        namespace = self.flying.pop(key, None)
        if namespace is not None:
            self.used.pop(key, None)
            self._stage(key, namespace, CANCELLED, None, "cancelled", "attempt")

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Begin nothing any more and cancel what was not waited for; effects that were begun are to be settled then."""
        self.attempt.open = False
        for key in list(self.flying):
            self.cancelled(key)

    async def let_go(self) -> None:
        """Close the attempt's IO where the process lets go of the run; the log leaves the attempt open."""
        self.attempt.open = False
        if self.effects_begun is not None:
            await self.effects_begun.let_go()

    def facts_digest(self) -> str | None:
        """Return the digest of the facts this attempt went by."""
        return used_digest(self.used)


def _is_being_cancelled() -> bool:
    """Tell whether the running task was asked to stop; a transport may raise ``CancelledError`` of its own."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _failed(namespace: str, handle: CallHandle, error: BaseException) -> tuple[bytes, FactOutcome]:
    """Return a failure as an outcome; whatever a transport raises is what happened."""
    if isinstance(error, TransportError):
        code, details = code_of(error), redact(handle.scrub(_json_or_none(error.details)))
        clean = TransportError(_clean_text(handle, text_of(error)), code=code, retryable=bool(error.retryable))
        return error_bytes(clean, details), "refused" if code in NOT_BEGUN else "error"
    if isinstance(error, CanonicalJsonError):
        message, code = f"{namespace} gave an outcome that is {error}", "invalid_outcome"
    else:
        message, code = f"{namespace} transport failed: {type(error).__name__}: {text_of(error)}", "transport_raised"
    return error_bytes(TransportError(_clean_text(handle, message), code=code), None), "error"


def _clean_text(handle: CallHandle, text: str) -> str:
    return redact_text(str(handle.scrub(text)))


def _json_or_none(details: object) -> JsonValue:
    try:
        return normalized(details)
    except CanonicalJsonError:
        return None
