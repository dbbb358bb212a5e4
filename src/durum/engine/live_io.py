"""Live IO: a call is answered from the record if its key is bound, otherwise performed once and recorded before it returns."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec

from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import canonical_json, decode_json, digest_bytes, normalized
from durum.core.events import EffectIntended, FactRecorded
from durum.core.facts import FactIndex, KeyMaker, error_bytes, explicit_key, outcome, request_object, success_bytes, used_digest
from durum.core.secrets import find_secret, may_hold_secret, redact
from durum.core.state import IoCall, IoResult
from durum.engine.artifacts import ArtifactReader
from durum.engine.recorder import Recorder
from durum.engine.transports import TransportRegistry
from durum.errors import (
    CanonicalJsonError,
    EffectUnknownError,
    FactConflictError,
    IoError,
    SecretsDetectedError,
    TransportError,
)
from durum.ports import Clock, Entropy

if TYPE_CHECKING:
    from durum.core.canonical import JsonValue
    from durum.core.events import FactOutcome, FactScope

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
        self._effects_begun = 0
        self._effect_lock = asyncio.Lock()
        self._effect_tasks: set[asyncio.Task[None]] = set()
        self.blocked: EffectUnknownError | None = None  # ends the attempt whatever the step makes of it
        self.used: dict[str, str] = {}  # fact key -> payload id, of every fact this attempt went by

    # --- the provider -----------------------------------------------------------------------------------------------

    async def call(self, call: IoCall) -> IoResult:
        """Return the outcome of a call, from the record if its key is bound."""
        self._check_open()
        request = _checked_request(call)
        request_id = digest_bytes(request)
        key = self._keys.key(call.namespace, request_id) if call.fact_key is None else explicit_key(call.fact_key)
        bound = self._find(key)
        if bound is not None:
            return await self._serve(bound)
        if call.read:
            return await self._read(call, key, request, request_id)
        return await self._effect(call, key, request, request_id)

    async def record_value(self, key: str, value: object) -> str:
        """Bind a value to an explicit key; binding the same value again is no work."""
        self._check_open()
        payload = success_bytes(value)
        if may_hold_secret(payload):
            found = find_secret(decode_json(payload))
            if found is not None:
                raise SecretsDetectedError(f"fact {key!r}", *found)
        payload_id = digest_bytes(payload)
        bound = self._find(explicit_key(key))
        if bound is None:
            await self._record(key, "value", payload, None, "success", "run")
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
        await self._world.recorder.commit()  # cheap facts become durable before the outside can see them
        self._flying[key] = call.namespace
        try:
            payload, result = await self._perform(call, None)
        except asyncio.CancelledError:
            if self._attempt.open:
                self._cancelled(key)
            raise
        self._check_open()
        del self._flying[key]
        self._world.recorder.keep(ArtifactKind.FACT_PAYLOAD, request, request_id)
        scope: FactScope = "run" if result == "success" and call.keep == "run" else "attempt"
        await self._record(key, call.namespace, payload, request_id, result, scope)
        return IoResult(outcome(payload), self.used[key])

    async def _perform(self, call: IoCall, effect_key: str | None) -> tuple[bytes, FactOutcome]:
        """Return the outcome artifact of a live call and what it is. Whatever happened is an outcome."""
        handle = self._world.transports.handle(effect_key)
        try:
            if call.body is None:
                response = await self._world.transports.get(call.namespace).call(call.request, handle)
            else:
                response = await call.body()
            if call.judge is not None:
                call.judge(response)
            payload = success_bytes(handle.scrub(redact(normalized(response))))
        except TransportError as error:
            clean = TransportError(
                str(handle.scrub(error.message)), code=error.transport_code, retryable=error.retryable, details=error.details
            )
            result: FactOutcome = "refused" if error.transport_code in NOT_BEGUN else "error"
            return error_bytes(clean, handle.scrub(redact(_json_or_none(error.details)))), result
        except CanonicalJsonError as error:
            broken = TransportError(f"{call.namespace} gave an outcome that is {error}", code="invalid_outcome")
            return error_bytes(broken, None), "error"
        except Exception as error:  # noqa: BLE001 - whatever a transport raises is what happened
            broken = TransportError(
                f"{call.namespace} transport failed: {type(error).__name__}: {error}", code="transport_raised"
            )
            return error_bytes(broken, None), "error"
        return payload, "success"

    def _stage(
        self, key: str, namespace: str, payload: bytes, request_id: str | None, result: FactOutcome, scope: FactScope
    ) -> None:
        recorder, attempt = self._world.recorder, self._attempt
        payload_id = recorder.keep(ArtifactKind.FACT_PAYLOAD, payload)
        fact = FactRecorded(
            key=key, namespace=namespace, outcome=result, payload_id=payload_id, request_id=request_id, scope=scope
        )
        recorder.stage(fact, attempt.state_id, attempt.number)
        self._world.facts.add(fact, attempt.state_id, attempt.number)
        self.used[key] = payload_id

    async def _record(
        self, key: str, namespace: str, payload: bytes, request_id: str | None, result: FactOutcome, scope: FactScope
    ) -> None:
        self._stage(key, namespace, payload, request_id, result, scope)
        await self._world.recorder.commit()

    def _cancelled(self, key: str) -> None:
        """A call whose answer the step did not wait for has an outcome too: replay must not answer it either."""
        namespace = self._flying.pop(key)
        self._stage(key, namespace, CANCELLED, None, "cancelled", "attempt")

    # --- effects ----------------------------------------------------------------------------------------------------

    async def _effect(self, call: IoCall, key: str, request: bytes, request_id: str) -> IoResult:
        """Perform an effect: intent durable before, outcome after, one at a time, never blindly twice."""
        if not self._attempt.applies_effects:
            message = f"{self._attempt.state_id} only reads; an effect on {call.namespace} needs effects='apply_side_effect'"
            raise IoError(message)
        async with self._effect_lock:
            effect_key = self._next_effect_key()
            done = self._world.recorder.state.effects.get(effect_key)
            if done is not None:
                intent, fact = done
                if intent.request_id != request_id:
                    raise self._block(effect_key, "it was applied before with another request; give this one another key")
                return await self._serve(fact)
            self._check_repeatable(call, effect_key)
            recorder = self._world.recorder
            recorder.keep(ArtifactKind.FACT_PAYLOAD, request, request_id)
            intent = EffectIntended(effect_key=effect_key, key=key, namespace=call.namespace, request_id=request_id)
            recorder.stage(intent, self._attempt.state_id, self._attempt.number)
            await recorder.commit()
            task = asyncio.create_task(self._finish_effect(call, key, request_id, effect_key))
            self._effect_tasks.add(task)
            task.add_done_callback(self._effect_tasks.discard)
            await asyncio.shield(task)  # a step that stops waiting does not make the outcome unknown
        return IoResult(outcome(await self._world.reader.get(self.used[key])), self.used[key])

    async def _finish_effect(self, call: IoCall, key: str, request_id: str, effect_key: str) -> None:
        payload, result = await self._perform(call, effect_key)
        await self._record(key, call.namespace, payload, request_id, result, "run" if result == "success" else "attempt")

    def _next_effect_key(self) -> str:
        """The n-th effect of an attempt has the same key in every attempt and in every fork."""
        place = self._effects_begun
        self._effects_begun += 1
        stem = self._attempt.effect_key or self._attempt.effect_stem
        return stem if place == 0 else f"{stem}/{place}"

    def _check_repeatable(self, call: IoCall, effect_key: str) -> None:
        tried = any(intent.effect_key == effect_key for intent in self._world.recorder.state.intents.values())
        if not tried:
            return
        declared = self._attempt.effect_key is not None
        if not declared and not self._world.transports.idempotent(call.namespace):
            reason = "it was begun before, its outcome is unknown and no idempotency key is declared; look whether it happened"
            raise self._block(effect_key, reason)

    def _block(self, effect_key: str, reason: str) -> EffectUnknownError:
        self.blocked = EffectUnknownError(effect_key, reason)
        return self.blocked

    # --- the end ----------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Close the attempt's IO: effects under way are waited for, every other call without an outcome is cancelled."""
        if self._effect_tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*self._effect_tasks, return_exceptions=True)
        for key in list(self._flying):
            self._cancelled(key)
        self._attempt.open = False

    def facts_digest(self) -> str | None:
        """Return the digest of the facts this attempt went by."""
        return used_digest(self.used)


def _checked_request(call: IoCall) -> bytes:
    data = canonical_json(request_object(call.namespace, call.request))
    if may_hold_secret(data):
        found = find_secret(decode_json(data))
        if found is not None:
            raise SecretsDetectedError(f"{call.namespace} request", *found)
    return data


def _json_or_none(details: object) -> JsonValue:
    try:
        return normalized(details)
    except CanonicalJsonError:
        return None
