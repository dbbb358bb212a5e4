"""IO answered from the record alone: no transport exists here, and a call the record does not hold is a divergence.

Answers come in the order they were recorded in, one at a time and each after as many calls as live, so that a step that calls
things side by side meets them in the order it met them live.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING

from durum.core.canonical import canonical_json, digest_bytes, normalized
from durum.core.facts import (
    FactIndex,
    KeyMaker,
    check_effect,
    checked_request,
    checked_value,
    explicit_key,
    outcome,
    request_object,
    used_digest,
)
from durum.core.state import IoCall, IoResult
from durum.engine.settling import SETTLE_TURNS
from durum.errors import FactConflictError, MissingFactError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.canonical import JsonObject, JsonValue
    from durum.core.events import FactRecorded
    from durum.engine.artifacts import ArtifactReader

_IDLE_SECONDS = 1.0
_IMMEDIATE = frozenset({"clock", "random", "value"})


class Turnstile:
    """Lets waiting calls through in recorded order, each once as many calls were made as when it was answered live.

    The code is another one when an answer cannot come about any more, or its time does not come although nothing moves for a
    while: then it is passed over.
    """

    def __init__(self, order: Sequence[tuple[str, int]]) -> None:
        self._order = deque(order)  # fact key, calls begun by then
        self._due = {key for key, _ in order}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._begun = 0

    def begin(self) -> None:
        """Count a call that is not answered here."""
        self._begun += 1
        self._later(SETTLE_TURNS)

    async def turn(self, key: str) -> None:
        """Return when it is this key's turn."""
        self._begun += 1
        if key not in self._due:
            self._later(SETTLE_TURNS)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        self._later(SETTLE_TURNS)
        try:
            await future
        finally:
            self._leave(key, future)

    def _leave(self, key: str, future: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(key, [])
        if future in waiting:
            waiting.remove(future)
        if not waiting:
            self._waiting.pop(key, None)
        self._due.discard(key)
        self._later(SETTLE_TURNS)

    def _later(self, turns: int) -> None:
        """Give whoever was just answered a few turns of the loop to make its next call."""
        loop = asyncio.get_running_loop()
        if turns:
            loop.call_soon(self._later, turns - 1)
        else:
            self._advance()

    def _advance(self) -> None:
        while self._order and self._waiting:
            key, begun = self._order[0]
            if key not in self._due:
                self._order.popleft()
                continue
            if self._begun < begun:
                asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._give_up, self._begun, key)
                return
            if self._waiting.get(key):
                self._answer(key)
                return
            self._pass_over(key)

    def _answer(self, key: str) -> None:
        for future in self._waiting[key]:
            if not future.done():
                future.set_result(None)

    def _give_up(self, begun: int, key: str) -> None:
        if self._order and self._order[0][0] == key and self._begun == begun:
            if self._waiting.get(key):
                self._answer(key)
            else:
                self._pass_over(key)
                self._advance()

    def _pass_over(self, key: str) -> None:
        """Go on without an answer nobody came for; what came after it is not to wait for the missing call."""
        self._due.discard(key)
        self._order.popleft()
        self._begun += 1


class ReplayIo:
    """Implements ``IoProvider`` for one recorded attempt."""

    def __init__(
        self,
        reader: ArtifactReader,
        state_id: str,
        attempt: int,
        facts: FactIndex,
        own: Sequence[FactRecorded],
        *,
        applies_effects: bool = False,
        missing_fact_retryable: bool = False,
    ) -> None:
        self._reader = reader
        self._keys = KeyMaker(state_id)
        self._state_id = state_id
        self._attempt = attempt
        self._facts = facts  # every binding up to the attempt's end
        self._own = {fact.key: fact for fact in reversed(own)}
        self._unanswered = {fact.key: fact for fact in own if fact.outcome == "cancelled"}
        self._applies_effects = applies_effects
        self._retryable = missing_fact_retryable
        self._called = [fact for fact in own if fact.namespace not in _IMMEDIATE]
        self.used: dict[str, str] = {}
        self.missing: list[JsonObject] = []  # calls the record does not hold, as {namespace, request, key}

    @cached_property
    def _calls(self) -> frozenset[str]:
        """The keys of the calls that are answered in their order; made when first asked for, as few attempts call anything."""
        return frozenset(fact.key for fact in self._called)

    @cached_property
    def _turnstile(self) -> Turnstile:
        """Lets the answers through in that order."""
        return Turnstile([(fact.key, fact.begun) for fact in self._called if fact.key not in self._unanswered])

    async def call(self, call: IoCall) -> IoResult:
        """Return the recorded outcome of a call; ``MissingFactError`` if there is none."""
        request_id = digest_bytes(checked_request(call))
        key = self._keys.key(call.namespace, request_id) if call.fact_key is None else explicit_key(call.fact_key)
        if not call.read and self._find(key) is None:
            check_effect(call, self._state_id, applies_effects=self._applies_effects)
        return await self._answer(key, request_object(call.namespace, call.request))

    async def _answer(self, key: str, request: JsonObject) -> IoResult:
        fact = self._find(key)
        if fact is None:
            self._turnstile.begin()
            self.missing.append({**request, "key": key})
            raise MissingFactError(key, retryable=self._retryable)
        self.used[key] = fact.payload_id
        if fact.outcome == "cancelled":
            self._turnstile.begin()
            await asyncio.get_running_loop().create_future()
        if key in self._calls:
            await self._turnstile.turn(key)
        return IoResult(outcome(await self._reader.get(fact.payload_id)), fact.payload_id)

    async def record_value(self, key: str, value: object) -> str:
        """Return the id the value was recorded under; another value is a conflict, as it would be live."""
        payload_id = digest_bytes(checked_value(key, value))
        fact = self._find(explicit_key(key))
        if fact is None:
            self.missing.append({"namespace": "value", "request": {"value": normalized(value)}, "key": key})
            raise MissingFactError(key, retryable=self._retryable)
        if fact.payload_id != payload_id:
            raise FactConflictError(key)
        self.used[key] = payload_id
        return payload_id

    async def get_recorded_fact(self, key: str) -> str | None:
        """Return the artifact id bound to a key; what this very attempt bound is there once it was bound."""
        fact = self._find(key)
        if fact is None or (key in self._own and key not in self.used):
            return None
        self.used[key] = fact.payload_id
        return fact.payload_id

    async def now_millis(self) -> int:
        """Return the recorded time."""
        value = await self._cheap("clock", {})
        assert isinstance(value, int)
        return value

    async def random_bytes(self, n: int) -> bytes:
        """Return the recorded random bytes."""
        value = await self._cheap("random", {"bytes": n})
        assert isinstance(value, str)
        return bytes.fromhex(value)

    async def pause(self, seconds: float) -> None:
        """Give others their turn; nothing is waited for."""
        del seconds
        await asyncio.sleep(0)

    async def _cheap(self, namespace: str, request: JsonObject) -> JsonValue:
        recorded = request_object(namespace, request)
        key = self._keys.key(namespace, digest_bytes(canonical_json(recorded)))
        return (await self._answer(key, recorded)).response

    def _find(self, key: str) -> FactRecorded | None:
        return self._unanswered.get(key) or self._facts.find(key, self._state_id, self._attempt)

    def unused(self) -> list[FactRecorded]:
        """Return the facts this attempt recorded that the code did not ask for."""
        return [fact for key, fact in self._own.items() if key not in self.used and key not in self._unanswered]

    async def settle(self) -> None:
        """Nothing is under way outside."""

    def facts_digest(self) -> str | None:
        """Return the digest of the facts the code went by."""
        return used_digest(self.used)
