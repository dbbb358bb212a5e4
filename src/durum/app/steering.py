"""Steering a run from outside: its open gates and their answers, cancelling and pausing."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from durum.core.canonical import canonical_json
from durum.core.gates import address, checked_answer
from durum.core.secrets import refuse_secrets
from durum.engine.delivery import deliver
from durum.engine.inbox import Answer, Steer, message
from durum.engine.io import exec_result, http_response
from durum.engine.recovery import load_run
from durum.errors import AnswerError, ConfigError, IoError, NotFoundError, RunOverError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum.core.canonical import JsonObject
    from durum.core.events import GateOpened
    from durum.core.run_state import RunState
    from durum.engine.artifacts import ArtifactReader
    from durum.engine.engine import Store
    from durum.ports import Clock

_LONGEST_ACTOR = 256
_LONGEST_REASON = 4_000


def actor_or_user(actor: str | None) -> str:
    """Return who acts: as named, else the user of this process."""
    if actor is not None and actor.strip():
        return actor
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def find_gate(state: RunState, typed: str) -> GateOpened:
    """Return the open gate that NAME@DIGEST names; a name alone does not tell what its answer was meant for.

    Raises:
        NotFoundError, AnswerError.
    """
    name, _, shown = typed.partition("@")
    gate = state.gates.get(name)
    if gate is None:
        known = ", ".join(address(gate) for gate in state.gates.values())
        raise NotFoundError("gate", typed, f"open are: {known}" if known else "this run waits for no answer")
    if not shown:
        raise AnswerError(name, f"an answer counts only for what was shown; look at it, then answer {address(gate)}")
    if not gate.digest.startswith(shown) or len(shown) < 8:  # noqa: PLR2004 - what ``address`` shows
        raise AnswerError(name, f"it was shown as {address(gate)} last, not as @{shown}; look at it again")
    return gate


class Steering:
    """What anyone may tell a run, whether a process drives it or not."""

    def __init__(self, store: Store, reader: ArtifactReader, clock: Clock) -> None:
        self._store = store
        self._reader = reader
        self._clock = clock

    async def answer(self, run_id: str, typed: str, given: Mapping[str, object], actor: str, reason: str) -> None:
        """Answer a gate; the first answer counts."""
        state = await self._open(run_id)
        gate = find_gate(state, typed)
        answer = checked_answer(gate, given)
        _check_result(state, gate, answer)
        check_texts(actor, reason)
        content = Answer(gate=gate.gate, digest=gate.digest, answer=answer, actor=actor, reason=reason)
        letter = message(run_id, "answer", content, f"gate:{gate.gate}@{gate.digest}")
        if not await deliver(self._store, self._clock, letter):
            raise AnswerError(gate.gate, "it was answered before; the first answer counts")

    async def steer(self, run_id: str, word: str, actor: str, reason: str) -> None:
        """Cancel or pause a run."""
        await self._open(run_id)
        check_texts(actor, reason)
        await deliver(self._store, self._clock, message(run_id, word, Steer(actor=actor, reason=reason)))

    async def _open(self, run_id: str) -> RunState:
        run = await load_run(self._store, self._reader, run_id)
        if run.state.over:
            raise RunOverError(run_id, run.state.status().value)
        return run.state


def _check_result(state: RunState, gate: GateOpened, answer: JsonObject) -> None:
    """Refuse a result the call could not have given back: once answered, the step goes on with it."""
    namespaces = {intent.namespace for intent in state.intents.values() if intent.effect_key == gate.subject}
    for namespace, typed in (("exec", exec_result), ("http", http_response)):
        if namespace in namespaces and "result" in answer:
            try:
                typed(answer["result"])
            except IoError as error:
                raise AnswerError(gate.gate, f"its result does not fit: {error}") from error


def check_texts(actor: str, reason: str = "") -> None:
    """Refuse what is too long for an event, or holds a secret."""
    for name, text, longest in (("actor", actor, _LONGEST_ACTOR), ("reason", reason, _LONGEST_REASON)):
        if len(text) > longest:
            raise ConfigError(f"the {name} has {len(text):,} characters, but may have {longest:,}; shorten it")
    refuse_secrets("the message", canonical_json([actor, reason]))
