"""Logs made by hand: a plan in one line, events one method each, folded as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum.core import events as ev
from durum.core.canonical import canonical_json
from durum.core.config import RunConfig
from durum.core.failure import StateError, failure
from durum.core.fold import NOTHING_ATTACHED, Attached, fold
from durum.core.gates import unknown_effect_gate
from durum.core.meta import StateMeta
from durum.core.plan import PlanNode, PlanShape
from durum.core.run_state import RunState, begin
from durum.errors import EffectUnknownError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum.core.config import RetryPolicy

RUN = "00000000-0000-7000-8000-0000000000f0"
ZERO = "0" * 64
ONE = "1" * 64


def state_id(name: str) -> str:
    """Return the id of a step's state."""
    return f"p.{name}.main"


def shape(
    deps: Mapping[str, str],
    *,
    tags: Mapping[str, str] | None = None,
    merges: Mapping[str, str] | None = None,
    retry: RetryPolicy | None = None,
) -> PlanShape:
    """Return a plan: step name -> names it depends on, separated by blanks."""
    nodes = [
        PlanNode(
            id=state_id(name),
            deps=tuple(state_id(before) for before in befores.split()),
            meta=StateMeta(tags=tuple((tags or {}).get(name, "").split())),
            retry=retry,
        )
        for name, befores in deps.items()
    ]
    return PlanShape("p", tuple(nodes), dict(merges or {}))


def written(key: str, value: object, op: ev.WriteOp = "set") -> ev.Write:
    """Return a write of a small value."""
    entry = b"null" if op == "delete" else canonical_json([value])
    return ev.Write(key, msgspec.Raw(entry), op)


class Log:
    """A log that grows; ``state`` is what it folds to."""

    def __init__(self, plan: PlanShape, config: RunConfig | None = None, *, started: bool = True) -> None:
        self.plan = plan
        self.state: RunState = begin(RUN, plan, config or RunConfig())
        self.envelopes: list[ev.Envelope] = []
        if started:
            self.add(ev.RunStarted(initial_snapshot_id=ZERO, manifest_id=ZERO, op_id="p", plan_id=ZERO))

    def envelope(self, event: ev.Event, name: str | None = None, attempt: int | None = None) -> ev.Envelope:
        """Return the envelope an event would get next."""
        seq = self.state.seq + 1
        state = None if name is None else state_id(name)
        return ev.Envelope(RUN, seq, 0, event, state, attempt, 1, "w", "", f"{seq:064x}")

    def add(
        self, event: ev.Event, name: str | None = None, attempt: int | None = None, attached: Attached = NOTHING_ATTACHED
    ) -> Log:
        """Append and fold an event."""
        envelope = self.envelope(event, name, attempt)
        fold(self.state, [envelope], attached)
        self.envelopes.append(envelope)
        return self

    def at(self, name: str) -> int:
        """Return a step's position."""
        return self.plan.index[state_id(name)]

    def now(self, name: str) -> int:
        """Return the attempt of a step that was entered last."""
        return self.state.progress(state_id(name)).attempt

    def status(self) -> dict[str, str]:
        """Return step -> status."""
        return {
            node.id.split(".")[1]: progress.status.value
            for node, progress in zip(self.state.plan.nodes, self.state.states, strict=True)
        }

    def enter(self, name: str, attempt: int | None = None) -> Log:
        """Begin the next attempt of a step."""
        number = self.now(name) + 1 if attempt is None else attempt
        return self.add(ev.StateEntered(attempt=number, base_snapshot_id=ZERO, state_id=state_id(name)), name, number)

    def complete(self, name: str, *writes: ev.Write) -> Log:
        """End an attempt well."""
        done = ev.StateCompleted(context_snapshot_id=ONE, input_digest=ZERO, state_id=state_id(name), writes=writes)
        return self.add(done, name, self.now(name))

    def run(self, name: str, *writes: ev.Write) -> Log:
        """Enter a step and complete it."""
        return self.enter(name).complete(name, *writes)

    def fail(self, name: str, code: str = "step_raised", *, retryable: bool = False) -> Log:
        """End an attempt badly."""
        error = StateError(failure(code, "failed", retryable=retryable), state_id(name))
        return self.add(ev.StateFailed(error=error, state_id=state_id(name)), name, self.now(name))

    def retry(self, name: str, due_ms: int, attempt: int | None = None) -> Log:
        """Set the moment of the next attempt."""
        number = self.now(name) + 1 if attempt is None else attempt
        event = ev.RetryScheduled(attempt=number, delay_ms=due_ms, due_ms=due_ms, jitter=0, state_id=state_id(name))
        return self.add(event, name)

    def skip(self, name: str, reason: ev.SkipReason, cause: str | None = None) -> Log:
        """Skip a step."""
        event = ev.StateSkipped(cause=None if cause is None else state_id(cause), reason=reason, state_id=state_id(name))
        return self.add(event, name)

    def fact(self, name: str, key: str, outcome: ev.FactOutcome = "success", scope: ev.FactScope = "run") -> Log:
        """Record the outcome of a call."""
        event = ev.FactRecorded(key=key, namespace="x", outcome=outcome, payload_id=ONE, scope=scope)
        return self.add(event, name, self.now(name))

    def intend(self, name: str, key: str, effect_key: str) -> Log:
        """Record that an effect is about to be tried."""
        event = ev.EffectIntended(effect_key=effect_key, key=key, namespace="x", request_id=ZERO)
        return self.add(event, name, self.now(name))

    def ask(self, name: str, effect_key: str) -> Log:
        """Let an attempt end because nobody knows what became of an effect, and ask."""
        self.fail(name, "effect_unknown")
        return self.add(unknown_effect_gate(state_id(name), self.now(name), EffectUnknownError(effect_key, "?", ZERO)), name)

    def answer(self, name: str, *, happened: bool) -> Log:
        """Answer the gate of a step."""
        gate = self.state.gates[name]
        payload_id = ONE if happened else None
        settled = ev.EffectSettled(
            effect_key=gate.subject, happened=happened, payload_id=payload_id, request_id=gate.request_id, source="answer"
        )
        answer = msgspec.Raw(b"{}")
        self.add(settled, name)
        return self.add(ev.GateAnswered(actor="ann", answer=answer, digest=gate.digest, gate=gate.gate), name)

    def end(self, status: ev.RunStatus = ev.RunStatus.COMPLETED) -> Log:
        """Close the log."""
        return self.add(ev.RunCompleted(status=status))
