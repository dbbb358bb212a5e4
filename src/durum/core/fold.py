"""A log folded into the state of its run: replay, recovery and every view start here.

Invariant: the attempt rule (entered, its own events, exactly one terminal) holds for every (state, attempt).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from durum.core import events as ev
from durum.core.failure import EFFECT_UNKNOWN, ORPHAN_ATTEMPT_RECOVERED, RUN_CANCELLED
from durum.core.plan import PlanShape
from durum.core.run_plan import RunPlan
from durum.core.run_state import (
    AppliedEffect,
    Progress,
    RunState,
    StateStatus,
    doom_dependents,
    doom_rest,
    fail_for_good,
    hold_items,
    make_ready,
    satisfied,
    satisfy_dependents,
    settle_item,
    unblock,
)
from durum.errors import CorruptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Attached(msgspec.Struct, frozen=True):
    """What events name but do not carry, by artifact id: later plans, and write lists too long to stand inline."""

    plans: Mapping[str, PlanShape] = {}
    writes: Mapping[str, Sequence[ev.Write]] = {}


NOTHING_ATTACHED = Attached()


def fold(state: RunState, envelopes: Iterable[ev.Envelope], attached: Attached = NOTHING_ATTACHED) -> RunState:
    """Fold events into ``state`` (in place) and return it.

    Raises:
        CorruptionError: an event breaks the attempt rule or stands in the wrong place.
    """
    for envelope in envelopes:
        if envelope.seq != state.seq + 1 or envelope.run_id != state.run_id:
            raise _broken(state, envelope, f"event {state.seq + 1} of run {state.run_id} should stand here")
        if state.completed is not None:
            raise _broken(state, envelope, "the run was over before it")
        event = envelope.event
        kind = type(event)
        if kind is ev.CodeChanged:
            _change_code(state, attached.plans[event.plan_id])  # type: ignore[attr-defined]
        elif (arm := _ARMS.get(kind)) is not None:
            arm(state, envelope, event)
            if kind is ev.StateCompleted:
                _note_writes(state, event, attached)  # type: ignore[arg-type]
        state.seq = envelope.seq
        state.hash = envelope.hash
        state.updated_ms = envelope.ts_millis
    return state


def _broken(state: RunState, envelope: ev.Envelope, reason: str) -> CorruptionError:
    return CorruptionError(f"event {envelope.seq} ({envelope.event.kind}) of run {state.run_id}", reason)


def _at(state: RunState, envelope: ev.Envelope, state_id: str | None) -> int:
    position = state.plan.index.get(state_id or "")
    if position is None:
        raise _broken(state, envelope, f"state {state_id} is not in the plan")
    return position


def _close_attempt(state: RunState, envelope: ev.Envelope, state_id: str) -> int:
    position = _at(state, envelope, state_id)
    if state.open.pop(position, None) != envelope.attempt:
        raise _broken(state, envelope, f"state {state_id} has no open attempt {envelope.attempt}")
    return position


def _run_started(state: RunState, envelope: ev.Envelope, event: ev.RunStarted) -> None:
    if state.seq:
        raise _broken(state, envelope, "it is not the first event")
    state.started = event
    state.started_ms = envelope.ts_millis
    state.ready = [position for position, progress in enumerate(state.states) if not progress.blockers]
    for position in state.ready:
        state.states[position].status = StateStatus.READY


def _state_entered(state: RunState, envelope: ev.Envelope, event: ev.StateEntered) -> None:
    position = _at(state, envelope, event.state_id)
    progress = state.states[position]
    if position in state.open or event.attempt != progress.attempt + 1 or progress.blockers:
        raise _broken(state, envelope, f"attempt {event.attempt} of state {event.state_id} may not begin here")
    if progress.status is StateStatus.READY:
        state.ready.remove(position)
    elif progress.status is StateStatus.RETRYING:
        state.waiting.discard(position)
    else:
        raise _broken(state, envelope, f"state {event.state_id} is {progress.status}")
    progress.status = StateStatus.RUNNING
    progress.attempt = event.attempt
    progress.base_snapshot_id = event.base_snapshot_id
    progress.due_ms = None
    state.open[position] = event.attempt


def _plan_extended(state: RunState, envelope: ev.Envelope, event: ev.PlanExtended) -> None:
    position = _in_attempt(state, envelope)
    if state.plan.nodes[position].each is None or position in state.plan.counts:
        raise _broken(state, envelope, f"state {event.state_id} cannot extend the plan")
    _extend(state, position, event.count)


def _extend(state: RunState, head: int, count: int) -> None:
    """Add items to the plan; those a limit holds back wait until one before them is over."""
    plan = state.plan
    first = len(plan.nodes)
    last = plan.extend(head, count)
    state.states += [Progress(blockers=len(plan.deps[position])) for position in range(first, len(plan.nodes))]
    rule = plan.nodes[head].each
    assert rule is not None
    state.states[plan.index[rule.then]].blockers += len(last)
    hold_items(state, head)
    if state.failed is not None and state.config.fail_fast:
        doom_rest(state, state.failed)


def _state_completed(state: RunState, envelope: ev.Envelope, event: ev.StateCompleted) -> None:
    position = _close_attempt(state, envelope, event.state_id)
    progress = state.states[position]
    progress.status = StateStatus.COMPLETED
    progress.completed = event
    progress.snapshot_id = event.context_snapshot_id
    progress.error = None
    satisfy_dependents(state, position)
    settle_item(state, position)


def _note_writes(state: RunState, event: ev.StateCompleted, attached: Attached) -> None:
    position = state.plan.index[event.state_id]
    writes = event.writes if event.writes_id is None else attached.writes[event.writes_id]
    state.states[position].writes = writes or ()
    for write in writes or ():
        state.writers.setdefault(write.key, []).append(position)


def _state_failed(state: RunState, envelope: ev.Envelope, event: ev.StateFailed) -> None:
    position = _close_attempt(state, envelope, event.state_id)
    progress = state.states[position]
    progress.error = event.error
    match event.error.info.code:
        case code if code == ORPHAN_ATTEMPT_RECOVERED:
            progress.orphans += 1
            make_ready(state, position)
            return
        case code if code == EFFECT_UNKNOWN:  # once somebody has answered, the state is tried again
            progress.status = StateStatus.AWAITING_ANSWER
            return
        case code if code == RUN_CANCELLED:
            progress.status = StateStatus.CANCELLED
            return
    progress.counted += 1
    if event.error.info.retryable and progress.counted < state.policy(position).max_attempts:
        progress.status = StateStatus.RETRYING
        state.undecided.append(position)
        if state.config.fail_fast and state.failed is not None:  # it was under way when another failed for good
            state.doomed[position] = (ev.SkipReason.FAIL_FAST, state.failed)
        return
    fail_for_good(state, position)
    settle_item(state, position)


def _retry_scheduled(state: RunState, envelope: ev.Envelope, event: ev.RetryScheduled) -> None:
    position = _at(state, envelope, event.state_id)
    progress = state.states[position]
    if position not in state.undecided or event.attempt != progress.attempt + 1:
        raise _broken(state, envelope, f"state {event.state_id} has no failed attempt to retry")
    state.undecided.remove(position)
    state.waiting.add(position)
    progress.due_ms = event.due_ms


def _state_skipped(state: RunState, envelope: ev.Envelope, event: ev.StateSkipped) -> None:
    position = _at(state, envelope, event.state_id)
    progress = state.states[position]
    if position in state.open or progress.status not in {StateStatus.PENDING, StateStatus.READY, StateStatus.RETRYING}:
        raise _broken(state, envelope, f"state {event.state_id} is {progress.status}")
    state.doomed.pop(position, None)
    state.waiting.discard(position)
    for queue in (state.ready, state.undecided):
        if position in queue:
            queue.remove(position)
    progress.status = StateStatus.SKIPPED
    progress.skip = event
    if event.reason is ev.SkipReason.TAG:
        satisfy_dependents(state, position)
    else:
        doom_dependents(state, position)
    settle_item(state, position)


def _fact_recorded(state: RunState, envelope: ev.Envelope, event: ev.FactRecorded) -> None:
    progress = state.states[_in_attempt(state, envelope)]
    if isinstance(progress.facts, list):
        progress.facts.append(event)
    else:
        progress.facts = [event]  # most states have none
    intent = state.intents.get(event.key)
    if intent is not None and event.outcome in {"success", "refused"}:
        del state.intents[event.key]  # after any other outcome it may have happened or not
        if event.outcome == "success":
            state.effects[intent.effect_key] = AppliedEffect(intent.request_id, event.payload_id)


def _effect_intended(state: RunState, envelope: ev.Envelope, event: ev.EffectIntended) -> None:
    _in_attempt(state, envelope)
    state.intents[event.key] = event
    state.tried[event.key] = event.effect_key


def _effect_settled(state: RunState, envelope: ev.Envelope, event: ev.EffectSettled) -> None:
    if event.happened and event.payload_id is None:
        raise _broken(state, envelope, "an effect that happened has an outcome")
    state.intents = {key: intent for key, intent in state.intents.items() if intent.effect_key != event.effect_key}
    state.effects.pop(event.effect_key, None)
    if event.payload_id is not None:
        state.effects[event.effect_key] = AppliedEffect(event.request_id, event.payload_id)


def _domain(state: RunState, envelope: ev.Envelope, event: ev.DomainEvent) -> None:
    del event
    _in_attempt(state, envelope)


def _in_attempt(state: RunState, envelope: ev.Envelope) -> int:
    position = _at(state, envelope, envelope.state_id)
    if state.open.get(position) != envelope.attempt:
        raise _broken(state, envelope, f"state {envelope.state_id} has no open attempt {envelope.attempt}")
    return position


# --- waits --------------------------------------------------------------------------------------------------------------


def _gate_opened(state: RunState, envelope: ev.Envelope, event: ev.GateOpened) -> None:
    position = _at(state, envelope, event.state_id)
    if event.gate in state.gates or state.states[position].status is not StateStatus.AWAITING_ANSWER:
        raise _broken(state, envelope, f"gate {event.gate} may not open here")
    state.gates[event.gate] = event


def _gate_answered(state: RunState, envelope: ev.Envelope, event: ev.GateAnswered) -> None:
    gate = state.gates.get(event.gate)
    if gate is None or gate.digest != event.digest:
        raise _broken(state, envelope, f"gate {event.gate} is not open as it was answered")
    del state.gates[event.gate]
    make_ready(state, _at(state, envelope, gate.state_id))


def _child_spawned(state: RunState, envelope: ev.Envelope, event: ev.ChildSpawned) -> None:
    then = state.plan.nodes[_in_attempt(state, envelope)].spawns
    if then is None or event.child_run_id in state.children:
        raise _broken(state, envelope, f"state {event.state_id} cannot start run {event.child_run_id}")
    state.children[event.child_run_id] = event
    state.progress(then).blockers += 1


def _child_completed(state: RunState, envelope: ev.Envelope, event: ev.ChildCompleted) -> None:
    spawned = state.children.pop(event.child_run_id, None)
    if spawned is None:
        raise _broken(state, envelope, f"run {event.child_run_id} is no open child of this one")
    then = state.plan.node(spawned.state_id).spawns
    assert then is not None
    unblock(state, state.plan.index[then])


def _cancel_requested(state: RunState, envelope: ev.Envelope, event: ev.CancelRequested) -> None:
    del envelope
    state.cancelling = event


def _run_paused(state: RunState, envelope: ev.Envelope, event: ev.RunPaused) -> None:
    del envelope
    state.paused = event


def _run_resumed(state: RunState, envelope: ev.Envelope, event: ev.RunResumed) -> None:
    del event
    if state.paused is None:
        raise _broken(state, envelope, "the run is not paused")
    state.paused = None


def _run_completed(state: RunState, envelope: ev.Envelope, event: ev.RunCompleted) -> None:
    if state.open:
        raise _broken(state, envelope, "attempts are still open")
    state.completed = event


def _change_code(state: RunState, shape: PlanShape) -> None:
    """Carry the progress over to the new plan; what the log holds of states by id stays as it is."""
    old, new = state.plan, RunPlan(shape)
    for head in sorted(old.counts, key=old.precedence):
        new.extend(new.index[old.nodes[head].id], old.counts[head])
    known = {node.id: state.states[position] for position, node in enumerate(old.nodes)}
    moved = {position: new.index[node.id] for position, node in enumerate(old.nodes) if node.id in new.index}
    state.plan = new
    state.states = [known.get(node.id) or Progress() for node in new.nodes]
    state.open = {moved[position]: attempt for position, attempt in state.open.items()}
    state.undecided = [moved[position] for position in state.undecided]
    state.waiting = {moved[position] for position in state.waiting}
    state.writers = {key: [moved[position] for position in positions] for key, positions in state.writers.items()}
    state.failed = None if state.failed is None else moved[state.failed]
    state.held = {}
    for head in new.counts:
        hold_items(state, head)
    _find_ready(state)


def _find_ready(state: RunState) -> None:
    """Work out anew what blocks each state and what may begin."""
    state.doomed = {}
    state.ready = []
    plan = state.plan
    held = {position for positions in state.held.values() for position in positions}
    awaited = [plan.node(child.state_id).spawns for child in state.children.values()]
    for position, progress in enumerate(state.states):
        progress.blockers = sum(not satisfied(state.states[dep]) for dep in plan.deps[position])
        progress.blockers += awaited.count(plan.nodes[position].id) + (position in held)
        if progress.status in {StateStatus.PENDING, StateStatus.READY}:
            progress.status = StateStatus.PENDING
            if not progress.blockers:
                make_ready(state, position)
    for position, progress in enumerate(state.states):
        if progress.status is StateStatus.FAILED or (progress.status is StateStatus.SKIPPED and not satisfied(progress)):
            doom_dependents(state, position)
    if state.failed is not None and state.config.fail_fast:
        doom_rest(state, state.failed)


_ARMS: dict[type[ev.Event], Callable[[RunState, ev.Envelope, object], None]] = {}


def _arm(kind: type[ev.Event], function: object) -> None:
    _ARMS[kind] = function  # type: ignore[assignment]  # each arm takes the event class it is registered under


for _kind, _function in (
    (ev.RunStarted, _run_started),
    (ev.StateEntered, _state_entered),
    (ev.StateCompleted, _state_completed),
    (ev.StateFailed, _state_failed),
    (ev.StateSkipped, _state_skipped),
    (ev.RetryScheduled, _retry_scheduled),
    (ev.FactRecorded, _fact_recorded),
    (ev.EffectIntended, _effect_intended),
    (ev.EffectSettled, _effect_settled),
    (ev.PlanExtended, _plan_extended),
    (ev.GateOpened, _gate_opened),
    (ev.GateAnswered, _gate_answered),
    (ev.ChildSpawned, _child_spawned),
    (ev.ChildCompleted, _child_completed),
    (ev.DomainEvent, _domain),
    (ev.CancelRequested, _cancel_requested),
    (ev.RunPaused, _run_paused),
    (ev.RunResumed, _run_resumed),
    (ev.RunCompleted, _run_completed),
):
    _arm(_kind, _function)
