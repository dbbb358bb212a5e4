"""Live IO: a call is answered from the record if its key is bound, otherwise performed once and recorded before it returns."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec

from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import canonical_json, digest_bytes, normalized
from durum.core.events import EffectIntended, FactRecorded
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
from durum.core.state import IoCall, IoResult
from durum.engine.artifacts import ArtifactReader
from durum.engine.recorder import Recorder
from durum.engine.settling import come_to_rest
from durum.engine.transports import TransportRegistry
from durum.errors import CanonicalJsonError, EffectUnknownError, FactConflictError, TransportError
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


class Attempt(msgspec.Struct):
    """One attempt under way: where it stands, what it may do, and whether it is still open."""

    state_id: str
    number: int
    applies_effects: bool
    effect_key: str | None  # resolved template; None: the receiver is not declared idempotent
    effect_stem: str = ""  # what undeclared effects are keyed under
    open: bool = True


class World(msgspec.Struct):
    """What live calls reach the outside with, shared by the attempts of a run."""

    recorder: Recorder
    reader: ArtifactReader
    facts: FactIndex
    transports: TransportRegistry
    clock: Clock
    entropy: Entropy


class LiveIo:
    """Implements ``IoProvider`` for one attempt."""

    def __init__(self, world: World, attempt: Attempt) -> None:
        self._world = world
        self._attempt = attempt
        self._keys = KeyMaker(attempt.state_id)
        self._flying: dict[str, str] = {}  # fact key -> namespace of reads without an outcome yet
        self._begun = 0  # calls that were not answered from the record
        self._effects_begun = 0
        self._effect_lock = asyncio.Lock()
        self._effect_tasks: set[asyncio.Task[None]] = set()
        self.blocked: EffectUnknownError | None = None  # ends the attempt whatever the step makes of it
        self.used: dict[str, str] = {}  # fact key -> payload id, of every fact this attempt went by

    # --- the provider -----------------------------------------------------------------------------------------------

    async def call(self, call: IoCall) -> IoResult:
        """Return the outcome of a call, from the record if its key is bound."""
        self._check_open()
        request = checked_request(call)
        request_id = digest_bytes(request)
        key = self._keys.key(call.namespace, request_id) if call.fact_key is None else explicit_key(call.fact_key)
        effect_key = "" if call.read else self._next_effect_key()  # one that is served from the record counts as well
        bound = self._find(key)
        if bound is not None:
            return await self._serve(bound)
        self._begun += 1
        if call.read:
            return await self._read(call, key, request, request_id)
        check_effect(call, self._attempt.state_id, applies_effects=self._attempt.applies_effects)
        return await self._effect(call, key, request, request_id, effect_key)

    async def record_value(self, key: str, value: object) -> str:
        """Bind a value to an explicit key; binding the same value again is no work."""
        self._check_open()
        payload = checked_value(key, value)
        payload_id = digest_bytes(payload)
        bound = self._find(explicit_key(key))
        if bound is None:
            self._stage(key, "value", payload, None, "success", "run")
            await self._world.recorder.commit()
        elif bound.payload_id != payload_id:
            raise FactConflictError(key)
        self.used[key] = payload_id
        return payload_id

    async def get_recorded_fact(self, key: str) -> str | None:
        """Return the artifact id bound to a key in this attempt's sight."""
        bound = self._find(key)
        if bound is None:
            return None
        self.used[key] = bound.payload_id
        return bound.payload_id

    async def now_millis(self) -> int:
        """Return the time; it binds within the attempt."""
        value = await self._cheap("clock", {}, self._world.clock.now_ms, "attempt")
        assert isinstance(value, int)
        return value

    async def random_bytes(self, n: int) -> bytes:
        """Return random bytes; they bind for every attempt."""
        value = await self._cheap("random", {"bytes": n}, lambda: self._world.entropy.random_bytes(n).hex(), "run")
        assert isinstance(value, str)
        return bytes.fromhex(value)

    async def pause(self, seconds: float) -> None:
        """Pause inside the process."""
        self._check_open()
        await asyncio.sleep(seconds)

    # --- one call ---------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        """A task that outlives its attempt may neither call nor record."""
        if not self._attempt.open:
            raise asyncio.CancelledError

    def _find(self, key: str) -> FactRecorded | None:
        return self._world.facts.find(key, self._attempt.state_id, self._attempt.number)

    async def _serve(self, fact: FactRecorded) -> IoResult:
        self.used[fact.key] = fact.payload_id
        if fact.outcome == "cancelled":
            await asyncio.get_running_loop().create_future()
        return IoResult(outcome(await self._world.reader.get(fact.payload_id)), fact.payload_id)

    async def _cheap(self, namespace: str, request: dict[str, JsonValue], draw: object, scope: FactScope) -> JsonValue:
        """Answer from inside the process; the fact is staged and becomes durable with the next commit."""
        self._check_open()
        request_bytes = canonical_json(request_object(namespace, request))
        key = self._keys.key(namespace, digest_bytes(request_bytes))
        bound = self._find(key)
        if bound is not None:
            return (await self._serve(bound)).response
        value: JsonValue = draw()  # type: ignore[operator]
        self._stage(key, namespace, success_bytes(value), None, "success", scope)
        return value

    async def _read(self, call: IoCall, key: str, request: bytes, request_id: str) -> IoResult:
        recorder = self._world.recorder
        await recorder.commit()  # cheap facts become durable before the outside can see them
        self._check_open()
        self._flying[key] = call.namespace
        try:
            payload, result = await self._perform(call, None)
            self._check_open()
            bound = self._find(key)
            if bound is None:
                recorder.keep(ArtifactKind.FACT_PAYLOAD, request, request_id)
                scope: FactScope = "run" if result == "success" and call.keep == "run" else "attempt"
                await self._record(key, call.namespace, payload, request_id, result, scope)
        except asyncio.CancelledError:
            self._cancelled(key)
            raise
        self._flying.pop(key, None)
        if bound is not None:  # an explicit key that another call bound meanwhile: the first binding wins
            return await self._serve(bound)
        return IoResult(outcome(payload), self.used[key])

    async def _perform(self, call: IoCall, effect_key: str | None) -> tuple[bytes, FactOutcome]:
        """Return the outcome artifact of a live call and what it is. Whatever happened is an outcome."""
        handle = self._world.transports.handle(effect_key)
        await come_to_rest()
        try:
            if call.body is None:
                response = await self._world.transports.get(call.namespace).call(call.request, handle)
            else:
                response = await call.body()
            if call.judge is not None:
                call.judge(response)
            payload = success_bytes(handle.scrub(redact(normalized(response))))
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise
            return _failed(call.namespace, handle, error)
        return payload, "success"

    def _stage(
        self,
        key: str,
        namespace: str,
        payload: bytes,
        request_id: str | None,
        result: FactOutcome,
        scope: FactScope,
        begun: int = 1,
    ) -> None:
        recorder, attempt = self._world.recorder, self._attempt
        payload_id = recorder.keep(ArtifactKind.FACT_PAYLOAD, payload)
        fact = FactRecorded(
            begun=begun,
            key=key,
            namespace=namespace,
            outcome=result,
            payload_id=payload_id,
            request_id=request_id,
            scope=scope,
        )
        recorder.stage(fact, attempt.state_id, attempt.number)
        self._world.facts.add(fact, attempt.state_id, attempt.number)
        self.used.setdefault(key, payload_id)

    async def _record(
        self, key: str, namespace: str, payload: bytes, request_id: str | None, result: FactOutcome, scope: FactScope
    ) -> None:
        self._stage(key, namespace, payload, request_id, result, scope, self._begun)
        await self._world.recorder.commit()

    def _cancelled(self, key: str) -> None:
        """A call whose answer the step did not wait for has an outcome too: replay must not answer it either."""
        namespace = self._flying.pop(key, None)
        if namespace is not None:
            self.used.pop(key, None)
            self._stage(key, namespace, CANCELLED, None, "cancelled", "attempt")

    # --- effects ----------------------------------------------------------------------------------------------------

    async def _effect(self, call: IoCall, key: str, request: bytes, request_id: str, effect_key: str) -> IoResult:
        """Perform an effect: intent durable before, outcome after, one at a time, never blindly twice."""
        async with self._effect_lock:
            if self._effect_tasks:
                await asyncio.wait(self._effect_tasks)  # one the step stopped waiting for
            self._check_open()
            if self.blocked is not None:
                raise self.blocked
            done = self._world.recorder.state.effects.get(effect_key)
            if done is not None:
                return await self._serve_effect(done, key, request_id)
            self._check_repeatable(call, effect_key, request_id)
            recorder = self._world.recorder
            recorder.keep(ArtifactKind.FACT_PAYLOAD, request, request_id)
            intent = EffectIntended(effect_key=effect_key, key=key, namespace=call.namespace, request_id=request_id)
            recorder.stage(intent, self._attempt.state_id, self._attempt.number)
            self._flying[key] = call.namespace
            task = asyncio.create_task(self._finish_effect(call, key, request_id, effect_key))
            self._effect_tasks.add(task)
            task.add_done_callback(self._effect_tasks.discard)
            try:
                await asyncio.shield(task)  # a step that stops waiting does not make the outcome unknown
            except asyncio.CancelledError:
                self._cancelled(key)
                raise
        self._check_open()
        self._flying.pop(key, None)
        return IoResult(outcome(await self._world.reader.get(self.used[key])), self.used[key])

    async def _finish_effect(self, call: IoCall, key: str, request_id: str, effect_key: str) -> None:
        await self._world.recorder.commit()
        payload, result = await self._perform(call, effect_key)
        await self._record(key, call.namespace, payload, request_id, result, "run" if result == "success" else "attempt")

    async def _serve_effect(self, done: tuple[EffectIntended, FactRecorded], key: str, request_id: str) -> IoResult:
        """Answer from the ledger what another call left there; it is bound to this call's key as well."""
        intent, fact = done
        if intent.request_id != request_id:
            raise self._block(intent.effect_key, "it was applied before with another request; give this one another key")
        payload = await self._world.reader.get(fact.payload_id)
        await self._record(key, fact.namespace, payload, request_id, "success", "run")
        return IoResult(outcome(payload), fact.payload_id)

    def _next_effect_key(self) -> str:
        """The n-th effect of an attempt has the same key in every attempt and in every fork."""
        place = self._effects_begun
        self._effects_begun += 1
        stem = self._attempt.effect_key or self._attempt.effect_stem
        return stem if place == 0 else f"{stem}/{place}"

    def _check_repeatable(self, call: IoCall, effect_key: str, request_id: str) -> None:
        tried = [intent for intent in self._world.recorder.state.intents.values() if intent.effect_key == effect_key]
        if not tried or self._world.transports.idempotent(call.namespace):
            return
        if self._attempt.effect_key is None:
            reason = "it was begun before, its outcome is unknown and no idempotency key is declared; look whether it happened"
            raise self._block(effect_key, reason)
        if any(intent.request_id != request_id for intent in tried):
            reason = "it was begun before with another request and its outcome is unknown; look whether it happened"
            raise self._block(effect_key, reason)

    def _block(self, effect_key: str, reason: str) -> EffectUnknownError:
        self.blocked = EffectUnknownError(effect_key, reason)
        return self.blocked

    # --- the end ----------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Close the attempt's IO: nothing begins any more, what was not waited for is cancelled, effects come to their end."""
        self._attempt.open = False
        for key in list(self._flying):
            self._cancelled(key)
        while self._effect_tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(self._effect_tasks)

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
        code, details = code_of(error), handle.scrub(redact(_json_or_none(error.details)))
        clean = TransportError(_clean_text(handle, text_of(error)), code=code, retryable=bool(error.retryable))
        return error_bytes(clean, details), "refused" if code in NOT_BEGUN else "error"
    if isinstance(error, CanonicalJsonError):
        message, code = f"{namespace} gave an outcome that is {error}", "invalid_outcome"
    else:
        message, code = f"{namespace} transport failed: {type(error).__name__}: {text_of(error)}", "transport_raised"
    return error_bytes(TransportError(_clean_text(handle, message), code=code), None), "error"


def _clean_text(handle: CallHandle, text: str) -> str:
    return str(handle.scrub(redact_text(text)))


def _json_or_none(details: object) -> JsonValue:
    try:
        return normalized(details)
    except CanonicalJsonError:
        return None
