"""What a log says of its run: the accumulator of fold, and how the readiness of its states hangs together.

Invariant: ``ready``, ``undecided`` and ``doomed`` hold just what decide has to act on, so that decide never scans the plan.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from durum.core import events as ev
from durum.core.config import RunConfig
from durum.core.failure import StateError
from durum.core.run_plan import RunPlan

if TYPE_CHECKING:
    from durum.core.config import RetryPolicy
    from durum.core.plan import PlanShape


class StateStatus(StrEnum):
    """Where a state stands (semantics.md 6.2)."""

    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    RETRYING = "retrying"
    AWAITING_ANSWER = "awaiting_answer"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


_NOT_BEGUN = frozenset({StateStatus.PENDING, StateStatus.READY})
_OVER = frozenset({StateStatus.COMPLETED, StateStatus.FAILED, StateStatus.SKIPPED})


class Progress(msgspec.Struct, gc=False):
    """What the log says of one state."""

    status: StateStatus = StateStatus.PENDING
    blockers: int = 0  # dependencies not satisfied yet, and child runs that are not over
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
    facts: list[ev.FactRecorded] | tuple[()] = ()


class AppliedEffect(msgspec.Struct, frozen=True):
    """An effect that happened: what was asked, and the artifact of its outcome."""

    request_id: str
    payload_id: str


class RunState(msgspec.Struct):
    """The accumulator of fold. Positions are those of ``plan.nodes``."""

    run_id: str
    plan: RunPlan
    config: RunConfig
    states: list[Progress]
    ready: list[int]  # positions that may be entered, by precedence
    undecided: list[int] = []  # failed attempts that may be retried
    waiting: set[int] = set()  # retries that wait for their moment
    doomed: dict[int, tuple[ev.SkipReason, int | None]] = {}  # to be skipped: why, and after which state
    open: dict[int, int] = {}  # position -> attempt under way
    held: dict[int, list[int]] = {}  # position that counted items -> items its limit holds back, the next one last
    writers: dict[str, list[int]] = {}  # context key -> positions that wrote it, in log order
    intents: dict[str, ev.EffectIntended] = {}  # fact key -> effect tried whose outcome is unknown
    effects: dict[str, AppliedEffect] = {}  # effect key -> what happened
    tried: dict[str, str] = {}  # fact key -> effect key it was tried under: the same call never goes out under another
    gates: dict[str, ev.GateOpened] = {}  # gate -> what waits for an answer
    children: dict[str, ev.ChildSpawned] = {}  # child run id -> one that is not over
    started: ev.RunStarted | None = None
    completed: ev.RunCompleted | None = None
    paused: ev.RunPaused | None = None
    cancelling: ev.CancelRequested | None = None
    seq: int = 0
    hash: str = ""
    started_ms: int = 0  # Unix epoch, of the first event
    updated_ms: int = 0  # of the last one; nothing is decided by either
    failed: int | None = None  # position of the first state that failed for good

    @property
    def over(self) -> bool:
        """Whether the log is closed."""
        return self.completed is not None

    @property
    def at_rest(self) -> bool:
        """Whether nothing can go on by itself: no attempt, entry, retry or skip is due."""
        return not (self.open or self.ready or self.undecided or self.doomed)

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
        if self.started is None:
            return ev.RunStatus.PENDING
        if self.paused is not None:
            return ev.RunStatus.PAUSED
        if not self.at_rest:
            return ev.RunStatus.RUNNING
        if self.waiting or self.children:
            return ev.RunStatus.WAITING
        return ev.RunStatus.PAUSED if self.gates else ev.RunStatus.RUNNING


def begin(run_id: str, plan: PlanShape, config: RunConfig) -> RunState:
    """Return the state of a run whose log is still empty."""
    states = [Progress(blockers=len(node.deps)) for node in plan.nodes]
    return RunState(run_id=run_id, plan=RunPlan(plan), config=config, states=states, ready=[])


# --- readiness ------------------------------------------------------------------------------------------------------------


def satisfied(progress: Progress) -> bool:
    """Tell whether what depends on a state may go on."""
    skipped = progress.skip is not None and progress.skip.reason is ev.SkipReason.TAG
    return progress.status is StateStatus.COMPLETED or skipped


def make_ready(state: RunState, position: int) -> None:
    """Let a state be entered."""
    state.states[position].status = StateStatus.READY
    insort(state.ready, position, key=state.plan.precedence)


def unblock(state: RunState, position: int) -> None:
    """Take one blocker from a state; the last one makes it ready."""
    progress = state.states[position]
    progress.blockers -= 1
    if not progress.blockers and progress.status is StateStatus.PENDING and position not in state.doomed:
        make_ready(state, position)


def satisfy_dependents(state: RunState, position: int) -> None:
    """Unblock what depends on a state; of items under a limit, only as many as may be under way."""
    plan = state.plan
    held = state.held.get(position)
    if held is None:
        for after in plan.dependents[position]:
            unblock(state, after)
        return
    behind = set(held)
    for after in plan.dependents[position]:
        if after not in behind:
            unblock(state, after)


def hold_items(state: RunState, head: int) -> None:
    """Hold back the items there is no room for under the limit of the state that counted them, if it has one."""
    rule = state.plan.nodes[head].each
    assert rule is not None
    state.held.pop(head, None)
    if rule.limit is None:
        return
    parts, size = state.plan.items[head], len(rule.body)
    items = [[state.states[position] for position in parts[at : at + size]] for at in range(0, len(parts), size)]
    fresh = [at for at, item in enumerate(items) if all(part.status in _NOT_BEGUN for part in item)]
    under_way = len(items) - len(fresh) - sum(item[-1].status in _OVER for item in items)
    state.held[head] = [parts[at * size] for at in reversed(fresh[max(0, rule.limit - under_way) :])]


def settle_item(state: RunState, position: int) -> None:
    """Let the next item that a limit held back begin, now that this one is over."""
    head = state.plan.head.get(position)
    held = None if head is None else state.held.get(head)
    if held and position in state.plan.last_of_item:
        unblock(state, held.pop())


def fail_for_good(state: RunState, position: int) -> None:
    """Note that a state will not be tried again, and doom what can no longer run."""
    state.states[position].status = StateStatus.FAILED
    if state.failed is None:
        state.failed = position
    doom_dependents(state, position)
    if state.config.fail_fast:
        doom_rest(state, position)


def doom_rest(state: RunState, cause: int) -> None:
    """Doom every state that is not under way or over."""
    for position, progress in enumerate(state.states):
        if progress.status is StateStatus.RETRYING or (progress.status in _NOT_BEGUN and progress.attempt < 0):
            state.doomed.setdefault(position, (ev.SkipReason.FAIL_FAST, cause))


def doom_dependents(state: RunState, position: int) -> None:
    """Doom what depends on a state that failed or was skipped for it."""
    for after in state.plan.dependents[position]:
        if state.states[after].status is StateStatus.PENDING:
            state.doomed.setdefault(after, (ev.SkipReason.UPSTREAM, position))
