"""What a run does next, decided from its folded state alone: the same state always gives the same commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum.core.config import RetryPolicy
from durum.core.events import RunStatus, SkipReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.run_state import RunState


class EnterState(msgspec.Struct, frozen=True):
    """Begin an attempt of a state."""

    position: int
    attempt: int


class ScheduleRetry(msgspec.Struct, frozen=True):
    """Set the moment of the next attempt; the engine draws the jitter and reads the clock."""

    position: int
    attempt: int
    retry: int  # 0-based, counting only attempts that count
    policy: RetryPolicy


class SkipState(msgspec.Struct, frozen=True):
    """Record that a state will not be executed."""

    position: int
    reason: SkipReason
    cause: int | None


class WaitUntil(msgspec.Struct, frozen=True):
    """Nothing to do before ``due_ms`` unless an attempt under way ends."""

    due_ms: int


class ParkRun(msgspec.Struct, frozen=True):
    """Stop driving: somebody must answer, or a child run must end."""


class CompleteRun(msgspec.Struct, frozen=True):
    """Close the log."""

    status: RunStatus


Command = EnterState | ScheduleRetry | SkipState | WaitUntil | ParkRun | CompleteRun


def decide(state: RunState, now_ms: int) -> list[Command]:
    """Return what to do now. Costs what changed: only the queues kept by fold are read."""
    if state.over or state.started is None:
        return []
    if state.cancelling is not None:
        return [] if state.open else [CompleteRun(RunStatus.CANCELLED)]
    if not (state.doomed or state.undecided or state.waiting or state.paused or state.config.skip_tags):
        return _first(state) or ([] if state.open else [_rest(state)])
    commands: list[Command] = [
        SkipState(position, reason, cause)
        for position, (reason, cause) in sorted(state.doomed.items())
        if position not in state.open
    ]
    commands += [
        ScheduleRetry(position, state.states[position].attempt + 1, state.states[position].counted - 1, state.policy(position))
        for position in state.undecided
        if position not in state.doomed
    ]
    if commands:  # what these change decides who may enter
        return commands
    if state.paused is not None:
        return [] if state.open else [ParkRun()]
    return _entries(state, now_ms) or ([] if state.open else [_rest(state)])


def _first(state: RunState, positions: Sequence[int] | None = None) -> list[Command]:
    """Return the entries there is room for, of what is ready unless told otherwise."""
    room = max(0, state.config.max_concurrency - len(state.open))
    states = state.states
    ready = state.ready if positions is None else positions
    return [EnterState(position, states[position].attempt + 1) for position in ready[:room]]


def _entries(state: RunState, now_ms: int) -> list[Command]:
    """Return the entries there is room for; before any of them, the skips of tagged states, for these make others ready."""
    ready: list[int] = [position for position in state.ready if position not in state.doomed] if state.doomed else state.ready
    skip_tags = frozenset(state.config.skip_tags)
    if skip_tags:
        nodes = state.plan.nodes
        skips = [position for position in ready if not skip_tags.isdisjoint(nodes[position].meta.tags)]
        if skips:
            return [SkipState(position, SkipReason.TAG, None) for position in skips]
    due = [position for position in state.waiting if (state.states[position].due_ms or 0) <= now_ms]
    due = [position for position in due if position not in state.doomed]
    return _first(state, sorted((*ready, *due), key=state.plan.precedence) if due else ready)


def _rest(state: RunState) -> Command:
    if state.waiting:
        return WaitUntil(min(state.states[position].due_ms or 0 for position in state.waiting))
    if state.children or state.gates:
        return ParkRun()
    return CompleteRun(RunStatus.COMPLETED if state.failed is None else RunStatus.FAILED)


def next_due(state: RunState) -> int | None:
    """Return when the earliest waiting retry is due, None if none waits or none could begin before something else happens."""
    if state.paused is not None or state.cancelling is not None or len(state.open) >= state.config.max_concurrency:
        return None
    return min((state.states[position].due_ms or 0 for position in state.waiting), default=None)
