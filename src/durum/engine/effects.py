"""The effects of one attempt: intent durable before the call, outcome after it, one at a time, and never blindly twice."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from durum.core.artifact_kind import ArtifactKind
from durum.core.canonical import decode_json, normalized
from durum.core.events import EffectIntended, EffectSettled
from durum.core.facts import outcome, success_bytes
from durum.core.failure import MAX_MESSAGE_CHARACTERS, text_of
from durum.core.gates import LEAST_RESULTS
from durum.core.secrets import redact, redact_text
from durum.core.state import Happened, IoCall, IoResult, UnknownEffect
from durum.engine.probe import probe
from durum.engine.settling import leave_behind
from durum.errors import EffectUnknownError

if TYPE_CHECKING:
    from durum.core.events import FactScope
    from durum.core.run_state import AppliedEffect
    from durum.engine.live_io import LiveIo

_RECONCILE_SECONDS = 60.0
_PATIENCE_SECONDS = 10.0
_STOP_SECONDS = 2.0
_GRACE_SECONDS = 0.25
_NOT_DECLARED = "it was begun before and its outcome is unknown; look whether it happened"
_OTHER_REQUEST = "it was begun before with another request and its outcome is unknown; look whether it happened"
_APPLIED_DIFFERENTLY = "it was applied before with another request; say whether that counts, or give the effects different keys"


class Wanted(NamedTuple):
    """An effect a step asks for."""

    call: IoCall
    key: str  # of the fact
    request: bytes
    request_id: str
    effect_key: str


class Effects:
    """Performs the effects of one attempt."""

    def __init__(self, io: LiveIo) -> None:
        self._io = io
        self._attempt = io.attempt
        self._recorder = io.world.recorder
        self._begun = 0
        self._lock = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()
        self._given_up = False
        self.blocked: EffectUnknownError | None = None  # ends the attempt whatever the step makes of it

    def next_key(self, key: str) -> str:
        """The n-th effect has the same key in every attempt and fork; a call that was tried before keeps its key."""
        place = self._begun
        self._begun += 1
        nth = self._attempt.effect_key if place == 0 else f"{self._attempt.effect_key}/{place}"
        return self._recorder.state.tried.get(key, nth)

    async def perform(self, wanted: Wanted) -> IoResult:
        """Return the outcome of an effect, from the ledger if it happened before."""
        flying, key = self._io.flying, wanted.key
        flying[key] = wanted.call.namespace
        try:
            async with self._lock, self._io.world.turn(wanted.effect_key):
                await self._come_to_end(wanted)
            self._io.check_open()
        except asyncio.CancelledError:
            self._io.cancelled(key)
            raise
        finally:
            flying.pop(key, None)
        payload_id = self._io.used[key]
        return IoResult(outcome(await self._io.world.reader.get(payload_id)), payload_id)

    async def _come_to_end(self, wanted: Wanted) -> None:
        """Bind an outcome to the effect's fact key."""
        state, acting = self._recorder.state, self._io.world.acting
        under_way = self._under_way | {task for task, effect_key in acting.items() if effect_key == wanted.effect_key}
        if under_way:
            await asyncio.wait(under_way)  # one the step stopped waiting for, or another state's
        self._io.check_open()
        if self.blocked is not None:
            raise self.blocked
        if self._io.is_answered(wanted.key):  # under an explicit key, while this call waited for its turn
            return
        if wanted.effect_key not in state.effects:
            await self._reconcile(wanted)
        if (done := state.effects.get(wanted.effect_key)) is not None:
            await self._serve(done, wanted)
            return
        self._keep_request(wanted)
        intent = EffectIntended(
            effect_key=wanted.effect_key, key=wanted.key, namespace=wanted.call.namespace, request_id=wanted.request_id
        )
        self._recorder.stage(intent, self._attempt.state_id, self._attempt.number)
        task = asyncio.create_task(self._finish(wanted))
        self._under_way.add(task)
        acting[task] = wanted.effect_key
        task.add_done_callback(self._ended)
        await asyncio.shield(task)  # a step that stops waiting does not make the outcome unknown

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._io.world.acting.pop(task, None)
        if not task.cancelled():
            task.exception()  # whoever still waits for it hears of it; the recorder keeps what broke it

    async def _finish(self, wanted: Wanted) -> None:
        await self._recorder.commit()
        payload, result, artifact_ids = await self._io.outcome_of(wanted.call, wanted.effect_key)
        if self._given_up:  # its attempt is over without it
            return
        scope: FactScope = "run" if result == "success" else "attempt"
        await self._io.record(wanted.key, wanted.call.namespace, payload, wanted.request_id, result, scope, artifact_ids)

    async def _serve(self, done: AppliedEffect, wanted: Wanted) -> None:
        """Answer from the ledger what another call left there; it is bound to this call's key as well."""
        if done.request_id != wanted.request_id:
            self._keep_request(wanted)
            raise self._block(wanted, _APPLIED_DIFFERENTLY)
        payload = await self._io.world.reader.get(done.payload_id)
        await self._io.record(wanted.key, wanted.call.namespace, payload, wanted.request_id, "success", "run")

    def _keep_request(self, wanted: Wanted) -> None:
        self._recorder.keep(ArtifactKind.FACT_PAYLOAD, wanted.request, wanted.request_id)

    # --- effects with an unknown outcome ----------------------------------------------------------------------------

    async def _reconcile(self, wanted: Wanted) -> None:
        """Find out what became of an earlier try, if there was one; ``EffectUnknownError`` if nobody can tell."""
        tried = [intent for intent in self._recorder.state.intents.values() if intent.effect_key == wanted.effect_key]
        if not tried:
            return
        same = all(intent.request_id == wanted.request_id for intent in tried)
        if same and self._attempt.idempotent:
            return
        self._keep_request(wanted)
        reason = _NOT_DECLARED if same else _OTHER_REQUEST
        if same and self._attempt.reconcile is not None:
            # The question stands unless the hook answers while its attempt is open, whatever becomes of the hook.
            self._block(wanted, f"{_NOT_DECLARED} (reconcile did not answer in time)")
            verdict, reason = await self._asked(wanted)
            self._io.check_open()
            if verdict is not None:
                self.blocked = None
                self._settle(wanted, verdict or None)  # durable with what follows from it: the intent, or the result
                return
        raise self._block(wanted, reason)

    async def _asked(self, wanted: Wanted) -> tuple[Happened | Literal[False] | None, str]:
        """Return what the step's hook says, and why it cannot tell if it says nothing."""
        assert self._attempt.reconcile is not None
        asked: Any = decode_json(wanted.request)  # its own copy: what a hook does to it changes no call
        effect = UnknownEffect(wanted.effect_key, wanted.call.namespace, asked["request"])
        try:
            async with asyncio.timeout(_RECONCILE_SECONDS) as bound:
                verdict: Any = await self._attempt.reconcile(effect, probe(self._io))
            if isinstance(verdict, Happened):
                return Happened(redact(self._io.guard.scrub(normalized(verdict.result)))), ""
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - a hook is anyone's code; what it cannot tell it does not say
            said = self._io.world.transports.known.scrub_text(text_of(error))
            if isinstance(error, TimeoutError) and bound.expired():
                return None, _because(f"reconcile did not answer within {_RECONCILE_SECONDS:.0f} s")
            return None, _because(f"reconcile failed: {type(error).__name__}: {said}")
        return _understood(verdict, wanted.call.needs)

    def _settle(self, wanted: Wanted, found: Happened | None) -> None:
        payload_id = None
        if found is not None:
            result = LEAST_RESULTS.get(wanted.call.namespace) if found.result is None else found.result
            payload_id = self._recorder.keep(ArtifactKind.FACT_PAYLOAD, success_bytes(result))
        settled = EffectSettled(
            effect_key=wanted.effect_key,
            happened=found is not None,
            payload_id=payload_id,
            request_id=wanted.request_id,
            source="reconcile",
        )
        self._recorder.stage(settled, self._attempt.state_id, self._attempt.number)

    def _block(self, wanted: Wanted, reason: str) -> EffectUnknownError:
        self.blocked = EffectUnknownError(wanted.effect_key, reason, wanted.request_id, wanted.call.needs)
        return self.blocked

    # --- the end ----------------------------------------------------------------------------------------------------

    async def settle(self, cancelled: asyncio.Future[None] | None = None, *, cut: bool = False) -> None:
        """Wait until effects under way have come to their end; in an attempt that was cut short they get 10 s for it."""
        try:
            while self._under_way and not cut:
                both: set[asyncio.Future[Any]] = {*self._under_way} if cancelled is None else {*self._under_way, cancelled}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                cut = cancelled is not None and cancelled.done()
            await self._end(_PATIENCE_SECONDS)
        except asyncio.CancelledError:
            await self.let_go()
            raise

    async def let_go(self) -> None:
        """Give effects under way a moment, for the process is to let go of the run."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._end(_STOP_SECONDS)

    async def _end(self, patience_seconds: float) -> None:
        """Past its patience an effect is given up: its outcome stays unknown, and nothing waits for it."""
        try:
            for seconds in (patience_seconds, _GRACE_SECONDS):
                if self._under_way:
                    await asyncio.wait(self._under_way, timeout=seconds)
                for task in self._under_way:
                    leave_behind(task)
        finally:
            self._given_up = True
            for task in self._under_way:
                leave_behind(task)
                self._io.world.acting.pop(task, None)


def _understood(verdict: object, needs: str) -> tuple[Happened | Literal[False] | None, str]:
    """Return what a hook's short answer means; True is not enough where the step needs what the effect gave back."""
    if verdict is True and not needs:
        return Happened(), ""
    if verdict is True:
        return None, _because(f"reconcile must return Happened with {needs}")
    if verdict is None or verdict is False:
        return verdict, _because("reconcile could not tell")
    said = type(verdict).__name__
    return None, _because(f"reconcile returned {said}; it must return Happened, True, False or None")


def _because(why: str) -> str:
    return redact_text(f"{_NOT_DECLARED} ({why})".encode("utf-8", "replace").decode())[:MAX_MESSAGE_CHARACTERS]
