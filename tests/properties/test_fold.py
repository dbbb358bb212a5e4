"""Fold and decide over the logs of random runs: where one stops reading makes no difference, and deciding changes nothing."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from durum.codec import decode_log
from durum.core.decide import CompleteRun, EnterState, ParkRun, ScheduleRetry, SkipState, WaitUntil, decide, next_due
from durum.core.fold import fold
from durum.core.replay import disallowed
from durum.core.run_state import begin
from durum.stores.memory import MemoryStore
from tests.properties.test_scheduling import Step, config, plans, ran

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durum.core.events import Envelope
    from durum.core.run_state import RunState

NOW = 1 << 60


def log_of(steps: list[Step], seed: int, room: int) -> tuple[RunState, Sequence[Envelope]]:
    """Return the state an empty log begins with, and the log of a run."""
    run, _ = ran(steps, seed, room)
    store = run.service._store
    assert isinstance(store, MemoryStore)
    envelopes = decode_log(run.id, store._backend.runs[run.id].events)
    shape = run.code.shape if hasattr(run.code, "shape") else None
    assert shape is not None
    return begin(run.id, shape, config(room, steps)), envelopes


@settings(max_examples=40, deadline=None)
@given(plans(), st.integers(0, 99), st.integers(1, 4), st.data())
def test_fold_in_two_halves_is_fold_from_the_start(steps: list[Step], seed: int, room: int, data: st.DataObject) -> None:
    """A state folded up to any event, kept, and folded on is the state folded in one go."""
    empty, envelopes = log_of(steps, seed, room)
    whole = fold(copy.deepcopy(empty), envelopes)
    at = data.draw(st.integers(0, len(envelopes)))
    half = copy.deepcopy(fold(copy.deepcopy(empty), envelopes[:at]))
    assert fold(half, envelopes[at:]) == whole
    assert whole.over
    assert (whole.ready, whole.undecided, whole.waiting, whole.doomed, whole.open) == ([], [], set(), {}, {})


@settings(max_examples=40, deadline=None)
@given(plans(), st.integers(0, 99), st.integers(1, 4))
def test_deciding_changes_nothing_and_every_event_was_called_for(steps: list[Step], seed: int, room: int) -> None:
    """Asked twice, decide says the same and leaves the state alone; each engine event of the log is one it allows."""
    state, envelopes = log_of(steps, seed, room)
    for envelope in envelopes:
        before = copy.deepcopy(state)
        first = decide(state, NOW)
        assert decide(state, NOW) == first
        assert (next_due(state), state) == (next_due(before), before)
        check_sense(state, first)
        assert disallowed(state, envelope) is None
        fold(state, [envelope])
    assert decide(state, NOW) == []


def check_sense(state: RunState, commands: Sequence[object]) -> None:
    """Check what holds of any decision: room is respected, nothing runs twice, an unfinished run always has a way on."""
    entered = [command for command in commands if isinstance(command, EnterState)]
    assert len(entered) + len(state.open) <= max(state.config.max_concurrency, len(state.open))
    assert not {command.position for command in entered} & state.open.keys()
    assert len(commands) == len(set(commands))
    kinds = {type(command) for command in commands}
    assert len(kinds) <= 1 or kinds == {SkipState, ScheduleRetry}
    if state.started is not None and not state.over:
        assert commands or state.open
    assert not kinds & {CompleteRun, ParkRun, WaitUntil} or not state.open
