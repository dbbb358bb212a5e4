"""What a run does next, decided from its folded state alone: the same state always gives the same commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from durum.core.config import RetryPolicy
from durum.core.events import RunStatus, SkipReason

if TYPE_CHECKING:
    from durum.core.fold import RunState


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
    """Stop driving: a person must decide."""


class CompleteRun(msgspec.Struct, frozen=True):
    """Close the log."""

    status: RunStatus


Command = EnterState | ScheduleRetry | SkipState | WaitUntil | ParkRun | CompleteRun


def decide(state: RunState, now_ms: int) -> list[Command]:
    """Return what to do now. Costs what changed: only the queues kept by fold are read."""
    if state.over or state.started is None:
        return []
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
    if state.paused is not None:
        return commands or ([] if state.open else [ParkRun()])
    commands += _entries(state, now_ms)
    if not commands and not state.open:
        commands.append(_rest(state))
    return commands


def _entries(state: RunState, now_ms: int) -> list[Command]:
    """Return the entries there is room for; a state with a tag to skip takes no room."""
    skip_tags = frozenset(state.config.skip_tags)
    room = state.config.max_concurrency - len(state.open)
    due = [position for position in sorted(state.waiting) if (state.states[position].due_ms or 0) <= now_ms]
    found: list[Command] = []
    for position in sorted((*state.ready, *due)) if due else state.ready:
        if position in state.doomed:
            continue
        if skip_tags and not skip_tags.isdisjoint(state.plan.nodes[position].meta.tags):
            found.append(SkipState(position, SkipReason.TAG, None))
        elif room > 0:
            room -= 1
            found.append(EnterState(position, state.states[position].attempt + 1))
        elif not skip_tags:
            break
    return found


def _rest(state: RunState) -> Command:
    if state.waiting:
        return WaitUntil(min(state.states[position].due_ms or 0 for position in state.waiting))
    return CompleteRun(RunStatus.COMPLETED if state.failed is None else RunStatus.FAILED)


def next_due(state: RunState) -> int | None:
    """Return when the earliest waiting retry is due, None if none waits or none could begin before something else happens."""
    if state.paused is not None or len(state.open) >= state.config.max_concurrency:
        return None
    return min((state.states[position].due_ms or 0 for position in state.waiting), default=None)
