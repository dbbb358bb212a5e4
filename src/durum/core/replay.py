"""What replay compares: whether each engine event is one decide allows, and whether an attempt did again what it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from durum.core import decide as d
from durum.core import events as ev
from durum.core.canonical import JsonValue
from durum.core.plan import rule_of
from durum.core.retry import delay_ms

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject
    from durum.core.plan import PlanShape
    from durum.core.run_state import RunState

_EVER = 1 << 62  # later than any due time


class Divergence(msgspec.Struct, frozen=True):
    """The first place where a replay differs from the record."""

    what: str  # "decision", "plan", "call", "writes", "outcome", "events" or "extension"
    state_id: str | None
    attempt: int | None
    seq: int | None
    message: str  # one sentence
    expected: JsonValue = None
    got: JsonValue = None
    diff: Sequence[JsonValue] = ()
    facts: Sequence[JsonValue] = ()  # what fed the attempt
    code_changed: bool | None = None  # whether the step's code digest differs; None: not known

    def to_json(self) -> JsonObject:
        """Return the report as JSON."""
        data: JsonObject = msgspec.to_builtins(self)
        return data


def disallowed(state: RunState, envelope: ev.Envelope) -> Divergence | None:
    """Return why decide would not have led to this event in this state, None if it would."""
    event = envelope.event
    match event:
        case ev.StateEntered():
            wanted = d.EnterState(state.plan.index.get(event.state_id, -1), event.attempt)
            fits = any(wanted in d.decide(state, now) for now in _moments(state))
        case ev.StateSkipped():
            position = state.plan.index.get(event.state_id, -1)
            cause = None if event.cause is None else state.plan.index.get(event.cause)
            fits = d.SkipState(position, event.reason, cause) in d.decide(state, _EVER)
        case ev.RetryScheduled():
            fits = any(_schedules(command, state, event) for command in d.decide(state, _EVER))
        case ev.RunCompleted():
            commands = d.decide(state, _EVER)
            fits = d.CompleteRun(event.status) in commands or (event.error is not None and _completes(commands))
        case _:
            return None
    if fits:
        return None
    message = f"event {envelope.seq} ({event.kind}) is not what the run's state calls for"
    return Divergence("decision", envelope.state_id, envelope.attempt, envelope.seq, message)


def _moments(state: RunState) -> Sequence[int]:
    """Return one moment of every stretch of time between due retries: which of them compete for room depends on the time."""
    return [-1, *sorted({state.states[position].due_ms or 0 for position in state.waiting})]


def _schedules(command: d.Command, state: RunState, event: ev.RetryScheduled) -> bool:
    if not isinstance(command, d.ScheduleRetry) or state.plan.nodes[command.position].id != event.state_id:
        return False
    return command.attempt == event.attempt and event.delay_ms >= delay_ms(command.policy, command.retry, event.jitter)


def _completes(commands: Sequence[d.Command]) -> bool:
    return any(isinstance(command, d.CompleteRun) for command in commands)


def plan_divergence(recorded: PlanShape, code: PlanShape) -> Divergence | None:
    """Return the first state that the recorded plan and the code's plan do not share alike, None if they fit."""
    for node in recorded.nodes:
        expected: list[JsonValue] = [*sorted(node.deps)]
        if node.id not in code.index:
            return Divergence("plan", node.id, None, None, f"state {node.id} is in the record but not in the code", expected)
        now = code.node(node.id)
        got: list[JsonValue] = [*sorted(now.deps)]
        if expected != got:
            return Divergence("plan", node.id, None, None, f"state {node.id} depends on other states now", expected, got)
        if rule_of(node) != rule_of(now):
            rules = [msgspec.to_builtins(rule_of(each), enc_hook=str) for each in (node, now)]
            message = f"state {node.id} adds other states to the plan now"
            return Divergence("plan", node.id, None, None, message, rules[0], rules[1])
    for node in code.nodes:
        if node.id not in recorded.index:
            message = f"state {node.id} is in the code but not in the record"
            return Divergence("plan", node.id, None, None, message, None, [*sorted(node.deps)])
    return None
