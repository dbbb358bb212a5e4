"""A log folded into the state of its run: replay, recovery and every view start here.

Invariants: the attempt rule (entered, its own events, exactly one terminal) holds for every (state, attempt); ``ready``,
``undecided`` and ``doomed`` hold just what decide has to act on, so that decide never scans the plan.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from durum.core import events as ev
from durum.core.config import RunConfig
from durum.core.failure import EFFECT_UNKNOWN, ORPHAN_ATTEMPT_RECOVERED, StateError
from durum.core.plan import PlanShape
from durum.errors import CorruptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from durum.core.config import RetryPolicy


class StateStatus(StrEnum):
    """Where a state stands (semantics.md 6.2)."""

    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Progress(msgspec.Struct):
    """What the log says of one state."""

    status: StateStatus = StateStatus.PENDING
    blockers: int = 0  # dependencies not satisfied yet
    attempt: int = -1  # the last one entered
    counted: int = 0  # attempts that count against the retry budget
    orphans: int = 0  # attempts whose owner died
    base_snapshot_id: str | None = None
    snapshot_id: str | None = None
    completed: ev.StateCompleted | None = None
    writes: Sequence[ev.Write] = ()
    error: StateError | None = None
    due_ms: int | None = None  # of the retry it waits for
    skip: ev.StateSkipped | None = None
    facts: list[ev.FactRecorded] = msgspec.field(default_factory=list)


class RunState(msgspec.Struct):
    """The accumulator of fold. Positions are those of ``plan.nodes``."""

    run_id: str
    plan: PlanShape
    config: RunConfig
    states: list[Progress]
    ready: list[int]  # sorted positions that may be entered
    undecided: list[int] = []  # failed attempts that may be retried
    waiting: set[int] = set()  # retries that wait for their moment
    doomed: dict[int, tuple[ev.SkipReason, int | None]] = {}  # to be skipped: why, and after which state
    open: dict[int, int] = {}  # position -> attempt under way
    writers: dict[str, list[int]] = {}  # context key -> positions that wrote it, in log order
    intents: dict[str, ev.EffectIntended] = {}  # fact key -> effect tried whose outcome is unknown
    effects: dict[str, tuple[ev.EffectIntended, ev.FactRecorded]] = {}  # effect key -> intent and outcome
    started: ev.RunStarted | None = None
    completed: ev.RunCompleted | None = None
    paused: ev.RunPaused | None = None
    seq: int = 0
    hash: str = ""
    failed: int | None = None  # position of the first state that failed for good

    @property
    def over(self) -> bool:
        """Whether the log is closed."""
        return self.completed is not None

    def progress(self, state_id: str) -> Progress:
        """Return the progress of a state."""
        return self.states[self.plan.index[state_id]]

    def policy(self, position: int) -> RetryPolicy:
        """Return the retry policy of a state: its own, else the run's."""
        return self.plan.nodes[position].retry or self.config.retry_policy

    def status(self) -> ev.RunStatus:
        """Return the run's status as the log alone tells it; whether an owner lives is not in the log."""
        if self.completed is not None:
            return self.completed.status
        if self.paused is not None:
            return ev.RunStatus.PAUSED
        if self.started is None:
            return ev.RunStatus.PENDING
        if self.waiting and not self.open and not self.ready:
            return ev.RunStatus.WAITING
        return ev.RunStatus.RUNNING


def begin(run_id: str, plan: PlanShape, config: RunConfig) -> RunState:
    """Return the state of a run whose log is still empty."""
    states = [Progress(blockers=len(node.deps)) for node in plan.nodes]
    return RunState(run_id=run_id, plan=plan, config=config, states=states, ready=[])


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
        if isinstance(event, ev.CodeChanged):
            _change_code(state, attached.plans[event.plan_id])
        else:
            arm = _ARMS.get(type(event))
            if arm is not None:
                arm(state, envelope, event)
            if isinstance(event, ev.StateCompleted):
                _note_writes(state, event, attached)
        state.seq = envelope.seq
        state.hash = envelope.hash
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


def _state_completed(state: RunState, envelope: ev.Envelope, event: ev.StateCompleted) -> None:
    position = _close_attempt(state, envelope, event.state_id)
    progress = state.states[position]
    progress.status = StateStatus.COMPLETED
    progress.completed = event
    progress.snapshot_id = event.context_snapshot_id
    progress.error = None
    _satisfy_dependents(state, position)


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
    if event.error.info.code == ORPHAN_ATTEMPT_RECOVERED:
        progress.orphans += 1
        _make_ready(state, position)
        return
    if event.error.info.code == EFFECT_UNKNOWN:  # the run pauses; once a person has decided, the state is tried again
        _make_ready(state, position)
        return
    progress.counted += 1
    if event.error.info.retryable and progress.counted < state.policy(position).max_attempts:
        progress.status = StateStatus.RETRYING
        state.undecided.append(position)
        if state.config.fail_fast and state.failed is not None:  # it was under way when another failed for good
            state.doomed[position] = (ev.SkipReason.FAIL_FAST, state.failed)
        return
    _fail_for_good(state, position)


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
        _satisfy_dependents(state, position)
    else:
        _doom_dependents(state, position)


def _fact_recorded(state: RunState, envelope: ev.Envelope, event: ev.FactRecorded) -> None:
    position = _at(state, envelope, envelope.state_id)
    if state.open.get(position) != envelope.attempt:
        raise _broken(state, envelope, f"state {envelope.state_id} has no open attempt {envelope.attempt}")
    state.states[position].facts.append(event)
    intent = state.intents.get(event.key)
    if intent is not None and event.outcome in {"success", "refused"}:
        del state.intents[event.key]  # after any other outcome it may have happened or not
        if event.outcome == "success":
            state.effects[intent.effect_key] = (intent, event)


def _effect_intended(state: RunState, envelope: ev.Envelope, event: ev.EffectIntended) -> None:
    position = _at(state, envelope, envelope.state_id)
    if state.open.get(position) != envelope.attempt:
        raise _broken(state, envelope, f"state {envelope.state_id} has no open attempt {envelope.attempt}")
    state.intents[event.key] = event


def _domain(state: RunState, envelope: ev.Envelope, event: ev.DomainEvent) -> None:
    if state.open.get(_at(state, envelope, envelope.state_id)) != envelope.attempt:
        raise _broken(state, envelope, f"event {event.name!r} stands outside its attempt")


def _run_paused(state: RunState, envelope: ev.Envelope, event: ev.RunPaused) -> None:
    del envelope
    state.paused = event


def _run_resumed(state: RunState, envelope: ev.Envelope, event: ev.RunResumed) -> None:
    if state.paused is None or state.paused.effect_key != event.effect_key:
        raise _broken(state, envelope, f"the run is not paused for effect {event.effect_key}")
    state.paused = None
    state.effects.pop(event.effect_key, None)
    state.intents = {key: intent for key, intent in state.intents.items() if intent.effect_key != event.effect_key}


def _run_completed(state: RunState, envelope: ev.Envelope, event: ev.RunCompleted) -> None:
    if state.open:
        raise _broken(state, envelope, "attempts are still open")
    state.completed = event


def _change_code(state: RunState, new: PlanShape) -> None:
    """Carry the progress over to the new plan; what the log holds of states by id stays as it is."""
    old = state.plan
    known = {node.id: state.states[position] for position, node in enumerate(old.nodes)}
    moved = {position: new.index[node.id] for position, node in enumerate(old.nodes) if node.id in new.index}
    state.plan = new
    state.states = [known.get(node.id) or Progress() for node in new.nodes]
    state.open = {moved[position]: attempt for position, attempt in state.open.items()}
    state.undecided = [moved[position] for position in state.undecided]
    state.waiting = {moved[position] for position in state.waiting}
    state.writers = {key: [moved[position] for position in positions] for key, positions in state.writers.items()}
    state.failed = None if state.failed is None else moved[state.failed]
    state.doomed = {}
    state.ready = []
    for position, progress in enumerate(state.states):
        deps = [state.states[new.index[dep]] for dep in new.nodes[position].deps]
        progress.blockers = sum(not _satisfied(dep) for dep in deps)
        if progress.status in {StateStatus.PENDING, StateStatus.READY}:
            progress.status = StateStatus.PENDING
            if not progress.blockers:
                _make_ready(state, position)
    for position, progress in enumerate(state.states):
        if progress.status is StateStatus.FAILED or (progress.status is StateStatus.SKIPPED and not _satisfied(progress)):
            _doom_dependents(state, position)
    if state.failed is not None and state.config.fail_fast:
        _doom_rest(state, state.failed)


def _satisfied(progress: Progress) -> bool:
    skipped = progress.skip is not None and progress.skip.reason is ev.SkipReason.TAG
    return progress.status is StateStatus.COMPLETED or skipped


def _make_ready(state: RunState, position: int) -> None:
    state.states[position].status = StateStatus.READY
    insort(state.ready, position)


def _satisfy_dependents(state: RunState, position: int) -> None:
    for after in state.plan.dependents[position]:
        progress = state.states[after]
        progress.blockers -= 1
        if not progress.blockers and progress.status is StateStatus.PENDING and after not in state.doomed:
            _make_ready(state, after)


def _fail_for_good(state: RunState, position: int) -> None:
    state.states[position].status = StateStatus.FAILED
    if state.failed is None:
        state.failed = position
    _doom_dependents(state, position)
    if state.config.fail_fast:
        _doom_rest(state, position)


def _doom_rest(state: RunState, cause: int) -> None:
    for position, progress in enumerate(state.states):
        if progress.status in {StateStatus.PENDING, StateStatus.READY, StateStatus.RETRYING}:
            state.doomed.setdefault(position, (ev.SkipReason.FAIL_FAST, cause))


def _doom_dependents(state: RunState, position: int) -> None:
    for after in state.plan.dependents[position]:
        if state.states[after].status is StateStatus.PENDING:
            state.doomed.setdefault(after, (ev.SkipReason.UPSTREAM, position))


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
    (ev.DomainEvent, _domain),
    (ev.RunPaused, _run_paused),
    (ev.RunResumed, _run_resumed),
    (ev.RunCompleted, _run_completed),
):
    _arm(_kind, _function)
