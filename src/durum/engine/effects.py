"""The effects of one attempt: intent durable before the call, outcome after it, one at a time, and never blindly twice."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import normalized
from durum.core.events import EffectIntended, EffectSettled
from durum.core.facts import outcome, success_bytes
from durum.core.secrets import redact, redact_text
from durum.core.state import Happened, IoCall, IoResult, UnknownEffect
from durum.engine.probe import probe
from durum.errors import EffectUnknownError

if TYPE_CHECKING:
    from durum.core.events import EffectIntended as Intent
    from durum.core.run_state import AppliedEffect
    from durum.engine.live_io import LiveIo

_NOT_DECLARED = "it was begun before and its outcome is unknown; look whether it happened"
_OTHER_REQUEST = "it was begun before with another request and its outcome is unknown; look whether it happened"
_APPLIED_DIFFERENTLY = "it was applied before with another request; say whether that counts, or give the effects different keys"


class Effects:
    """Performs the effects of one attempt."""

    def __init__(self, io: LiveIo) -> None:
        self._io = io
        self._attempt = io.attempt
        self._recorder = io.world.recorder
        self._begun = 0
        self._lock = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()
        self.blocked: EffectUnknownError | None = None  # ends the attempt whatever the step makes of it

    def next_key(self) -> str:
        """The n-th effect of an attempt has the same key in every attempt and in every fork."""
        place = self._begun
        self._begun += 1
        return self._attempt.effect_key if place == 0 else f"{self._attempt.effect_key}/{place}"

    async def perform(self, call: IoCall, key: str, request: bytes, request_id: str, effect_key: str) -> IoResult:
        """Return the outcome of an effect, from the ledger if it happened before."""
        async with self._lock:
            if self._under_way:
                await asyncio.wait(self._under_way)  # one the step stopped waiting for
            self._io.check_open()
            if self.blocked is not None:
                raise self.blocked
            await self._reconcile(call, effect_key, request, request_id)
            done = self._recorder.state.effects.get(effect_key)
            if done is not None:
                return await self._serve(done, call, key, request_id, effect_key)
            self._recorder.keep(ArtifactKind.FACT_PAYLOAD, request, request_id)
            intent = EffectIntended(effect_key=effect_key, key=key, namespace=call.namespace, request_id=request_id)
            self._recorder.stage(intent, self._attempt.state_id, self._attempt.number)
            self._io.flying[key] = call.namespace
            task = asyncio.create_task(self._finish(call, key, request_id, effect_key))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            try:
                await asyncio.shield(task)  # a step that stops waiting does not make the outcome unknown
            except asyncio.CancelledError:
                self._io.cancelled(key)
                raise
        self._io.check_open()
        self._io.flying.pop(key, None)
        payload_id = self._io.used[key]
        return IoResult(outcome(await self._io.world.reader.get(payload_id)), payload_id)

    async def _finish(self, call: IoCall, key: str, request_id: str, effect_key: str) -> None:
        await self._recorder.commit()
        await self._io.perform(call, key, request_id, effect_key)

    async def _serve(self, done: AppliedEffect, call: IoCall, key: str, request_id: str, effect_key: str) -> IoResult:
        """Answer from the ledger what another call left there; it is bound to this call's key as well."""
        if done.request_id != request_id:
            raise self._block(effect_key, _APPLIED_DIFFERENTLY, request_id)
        payload = await self._io.world.reader.get(done.payload_id)
        await self._io.record(key, call.namespace, payload, request_id, "success", "run")
        return IoResult(outcome(payload), done.payload_id)

    # --- effects with an unknown outcome ----------------------------------------------------------------------------

    async def _reconcile(self, call: IoCall, effect_key: str, request: bytes, request_id: str) -> None:
        """Find out what became of an earlier try, if there was one; ``EffectUnknownError`` if nobody can tell."""
        tried = [intent for intent in self._recorder.state.intents.values() if intent.effect_key == effect_key]
        if not tried:
            return
        same = all(intent.request_id == request_id for intent in tried)
        if same and self._attempt.idempotent:
            return
        self._recorder.keep(ArtifactKind.FACT_PAYLOAD, request, request_id)
        reason = _NOT_DECLARED if same else _OTHER_REQUEST
        if same and self._attempt.reconcile is not None:
            verdict, reason = await self._asked(call, effect_key)
            if verdict is not None:
                self._settle(tried[0], verdict)
                return
        raise self._block(effect_key, reason, request_id)

    async def _asked(self, call: IoCall, effect_key: str) -> tuple[Happened | bool | None, str]:
        """Return what the step's hook says, and why it cannot tell if it says nothing."""
        assert self._attempt.reconcile is not None
        effect = UnknownEffect(effect_key, call.namespace, call.request)
        try:
            verdict: Any = await self._attempt.reconcile(effect, probe(self._io))
            if isinstance(verdict, Happened):
                return Happened(redact(normalized(verdict.result))), ""
        except Exception as error:  # noqa: BLE001 - a hook is anyone's code; what it cannot tell it does not say
            return None, redact_text(f"{_NOT_DECLARED} (reconcile failed: {type(error).__name__}: {error})")
        if verdict is None or isinstance(verdict, bool):
            return verdict, f"{_NOT_DECLARED} (reconcile could not tell)"
        return (
            None,
            f"{_NOT_DECLARED} (reconcile returned {type(verdict).__name__}; it must return Happened, True, False or None)",
        )

    def _settle(self, intent: Intent, verdict: Happened | bool) -> None:
        happened = verdict is not False
        payload_id = None
        if happened:
            result = verdict.result if isinstance(verdict, Happened) else None
            payload_id = self._recorder.keep(ArtifactKind.FACT_PAYLOAD, success_bytes(result))
        settled = EffectSettled(
            effect_key=intent.effect_key,
            happened=happened,
            payload_id=payload_id,
            request_id=intent.request_id,
            source="reconcile",
        )
        self._recorder.stage(settled, self._attempt.state_id, self._attempt.number)

    def _block(self, effect_key: str, reason: str, request_id: str) -> EffectUnknownError:
        self.blocked = EffectUnknownError(effect_key, reason, request_id)
        return self.blocked

    # --- the end ----------------------------------------------------------------------------------------------------

    async def settle(self, patience_seconds: float | None) -> None:
        """Wait until effects under way have come to their end; past its patience their outcome stays unknown."""
        while self._under_way:
            with contextlib.suppress(asyncio.CancelledError):
                _, late = await asyncio.wait(self._under_way, timeout=patience_seconds)
                for task in late:
                    task.cancel()
