"""Which items of a step may begin: under a limit, when some are over, and when code or limit change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durum.core import events as ev
from durum.core.config import NO_RETRY, FixedBackoff, RetryPolicy, RunConfig
from durum.core.failure import StateError, failure
from durum.core.fold import Attached, fold
from durum.core.plan import EachRule, PlanNode, PlanShape
from durum.core.run_state import RunState, StateStatus, begin, hold_items
from durum.errors import CorruptionError
from tests.core.handmade import ONE, RUN, ZERO, Log
from tests.core.handmade import shape as line

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD, MAIN, FIRST = 0, 1, 2
TWICE = RetryPolicy(2, FixedBackoff(0), 0.0)


def shape(limit: int | None, *, version: str = "") -> PlanShape:
    """Return the plan of one step that runs for each item."""
    body = PlanNode("p.s.i0", ("p.s.each",), path="s[0]", retry=TWICE, version=version)
    rule = EachRule((body,), "source", "p.s.main", limit)
    return PlanShape("p", (PlanNode("p.s.each", retry=NO_RETRY, each=rule), PlanNode("p.s.main", ("p.s.each",))))


class Items:
    """A run of that plan: ``states`` folded from the events so far."""

    def __init__(self, count: int, limit: int | None, *, fail_fast: bool = False, failed: bool = False) -> None:
        self.state: RunState = begin(RUN, shape(limit), RunConfig(fail_fast=fail_fast))
        self.add(ev.RunStarted(initial_snapshot_id=ZERO, manifest_id=ZERO, op_id="p", plan_id=ZERO))
        self.enter(HEAD)
        self.state.failed = HEAD if failed else None
        self.add(ev.PlanExtended(count=count, rule="each", state_id="p.s.each"), HEAD)
        self.complete(HEAD)

    def add(self, event: ev.Event, position: int | None = None, attached: Attached | None = None) -> None:
        """Fold an event, of a state's attempt under way."""
        state, seq = self.state, self.state.seq + 1
        at = None if position is None else state.plan.nodes[position].id
        attempt = None if position is None else state.open.get(position)
        envelope = ev.Envelope(RUN, seq, 0, event, at, attempt, 1, "w", "", f"{seq:064x}")
        fold(state, [envelope], attached or Attached())

    def enter(self, position: int) -> None:
        """Begin the next attempt of a state."""
        state_id, attempt = self.state.plan.nodes[position].id, self.state.states[position].attempt + 1
        envelope_of = ev.StateEntered(attempt=attempt, base_snapshot_id=ZERO, state_id=state_id)
        seq = self.state.seq + 1
        fold(self.state, [ev.Envelope(RUN, seq, 0, envelope_of, state_id, attempt, 1, "w", "", f"{seq:064x}")])

    def complete(self, position: int) -> None:
        """End it well."""
        state_id = self.state.plan.nodes[position].id
        self.add(ev.StateCompleted(context_snapshot_id=ZERO, input_digest=ZERO, state_id=state_id, writes=()), position)

    def fail(self, position: int, *, retryable: bool = False) -> None:
        """End it badly."""
        state_id = self.state.plan.nodes[position].id
        error = StateError(failure("boom", "no", retryable=retryable), state_id)
        self.add(ev.StateFailed(error=error, state_id=state_id), position)

    def skip(self, position: int, reason: ev.SkipReason) -> None:
        """Skip it."""
        self.add(ev.StateSkipped(cause=None, reason=reason, state_id=self.state.plan.nodes[position].id))

    def change(self, limit: int | None) -> None:
        """Go on under another limit, and code that changed."""
        plan = shape(limit, version="2")
        self.add(ev.CodeChanged(plan_id=ZERO, steps=()), attached=Attached(plans={ZERO: plan}))

    @property
    def ready(self) -> Sequence[int]:
        """Which items may begin, by index; main is told as -1."""
        return [position - FIRST for position in self.state.ready]


@pytest.mark.parametrize(("limit", "first"), [(None, 4), (1, 1), (3, 3), (4, 4), (9, 4)])
def test_as_many_items_begin_as_the_limit_allows(limit: int | None, first: int) -> None:
    """The first of them, in their order; each that completes lets the next one begin, and the last lets main."""
    log = Items(4, limit)
    assert log.ready == list(range(first))
    for index in range(4):
        log.enter(FIRST + index)
        log.complete(FIRST + index)
        assert log.ready[:1] == ([index + 1] if index < 3 else [MAIN - FIRST])
    assert log.state.states[MAIN].blockers == 0


def test_without_items_what_waits_for_them_begins() -> None:
    """There is nothing to hold back."""
    log = Items(0, 1)
    assert (log.state.ready, log.state.held) == ([MAIN], {HEAD: []})


def test_an_item_keeps_its_place_until_it_is_over() -> None:
    """Failing in a way worth another attempt is not being over; failing for good is, and so is being skipped."""
    log = Items(4, 1)
    log.enter(FIRST)
    log.fail(FIRST, retryable=True)
    assert log.ready == []
    log.add(ev.RetryScheduled(attempt=1, delay_ms=0, due_ms=0, jitter=0, state_id="p.s.i0"))
    log.enter(FIRST)
    log.fail(FIRST, retryable=True)
    assert (log.state.states[FIRST].status, log.ready) == (StateStatus.FAILED, [1])
    assert log.state.doomed == {MAIN: (ev.SkipReason.UPSTREAM, FIRST)}
    log.skip(MAIN, ev.SkipReason.UPSTREAM)
    log.skip(FIRST + 1, ev.SkipReason.TAG)
    assert log.ready == [2]


def test_when_the_first_failure_ends_the_run_no_held_item_begins() -> None:
    """All that have not begun are doomed, and being skipped lets none of the others begin."""
    log = Items(4, 2, fail_fast=True)
    log.enter(FIRST)
    log.fail(FIRST)
    assert set(log.state.doomed) == {MAIN, FIRST + 1, FIRST + 2, FIRST + 3}
    for position in sorted(log.state.doomed):
        log.skip(position, ev.SkipReason.FAIL_FAST)
    assert (log.state.ready, log.state.at_rest) == ([], True)


def test_items_counted_after_the_first_failure_do_not_begin() -> None:
    """Another state failed for good while they were counted: all of them are doomed as they come into being."""
    fast = (ev.SkipReason.FAIL_FAST, HEAD)
    assert Items(2, 1, fail_fast=True, failed=True).state.doomed == {MAIN: fast, FIRST: fast, FIRST + 1: fast}
    assert Items(2, 1, failed=True).state.doomed == {}


def test_new_code_dooms_no_state_whose_effect_is_in_doubt() -> None:
    """It has begun, and its question stands; what the new code adds has not, and does not."""
    log = Log(line({"bad": "", "send": ""}), RunConfig(fail_fast=True, retry_policy=NO_RETRY))
    log.enter("send").enter("bad").fail("bad").fail("send", "orphan_attempt_recovered")
    new = line({"bad": "", "send": "", "more": "send"})
    log.add(ev.CodeChanged(plan_id=ONE, steps=()), attached=Attached(plans={ONE: new}))
    assert log.state.doomed == {2: (ev.SkipReason.FAIL_FAST, 0)}
    log.enter("send").ask("send", "e").answer("send", happened=True)
    log.enter("send").complete("send")
    assert log.status()["send"] == "completed"


def test_the_plan_is_extended_once_and_by_who_may() -> None:
    """A second extension, or one by an item, is a damaged log."""
    log = Items(1, None)
    log.enter(FIRST)
    with pytest.raises(CorruptionError, match="cannot extend the plan"):
        log.add(ev.PlanExtended(count=1, rule="each", state_id="p.s.i0"), FIRST)
    again = Items(1, None)
    again.state.open[HEAD] = 0
    with pytest.raises(CorruptionError, match="cannot extend the plan"):
        again.add(ev.PlanExtended(count=1, rule="each", state_id="p.s.each"), HEAD)


@pytest.mark.parametrize(
    ("before", "after", "ready"),
    [
        (2, 4, [3, 4]),
        (None, 2, []),
        (None, 3, [3]),
        (2, None, [3, 4, 5, 6]),
        (1, 1, []),
        (1, 3, [2, 3]),
        (2, 2, []),
        (None, None, [3, 4, 5, 6]),
    ],
)
def test_a_changed_limit_holds_for_what_has_not_begun(before: int | None, after: int | None, ready: list[int]) -> None:
    """Whether it grew, shrank, came or went; those under way stay so and count, those that are over do not."""
    log = Items(7, before)
    log.enter(FIRST)
    log.complete(FIRST)
    under_way = [FIRST + 1] if before == 1 else [FIRST + 1, FIRST + 2]
    for position in under_way:
        log.enter(position)
    log.change(after)
    assert log.ready == ready
    assert [log.state.states[position].status for position in under_way] == [StateStatus.RUNNING] * len(under_way)
    finish(log)


def finish(log: Items) -> None:
    """Drive every item to its end in the order decide would, and check that main begins when all are over, not before."""
    for position in list(log.state.open):
        log.complete(position)
    while log.state.ready != [MAIN]:
        assert MAIN not in log.state.ready
        position = log.state.ready[0]
        log.enter(position)
        log.complete(position)
    assert all(progress.status is StateStatus.COMPLETED for progress in log.state.states[FIRST:])


@given(count=st.integers(0, 12), limit=st.one_of(st.none(), st.integers(1, 5)), choices=st.lists(st.integers(0, 99)))
def test_whatever_happens_in_whatever_order_the_limit_holds_and_all_get_their_turn(
    count: int, limit: int | None, choices: list[int]
) -> None:
    """At every moment as many are ready or under way as may be and as there are; holding back anew changes nothing."""
    log = Items(count, limit)
    while log.state.open or log.ready not in ([], [MAIN - FIRST]):
        moves = [*log.state.open, *(position for position in log.state.ready if position != MAIN)]
        position = moves[(choices.pop() if choices else 0) % len(moves)]
        if position in log.state.ready:
            log.enter(position)
        else:
            log.complete(position)
        begun = len(log.state.open) + sum(position != MAIN for position in log.state.ready)
        left = sum(progress.status is not StateStatus.COMPLETED for progress in log.state.states[FIRST:])
        assert begun == min(left, count if limit is None else limit)
        held = msgspec.json.encode(log.state.held.get(HEAD))
        hold_items(log.state, HEAD)
        assert msgspec.json.encode(log.state.held.get(HEAD)) == held
    assert log.state.ready == [MAIN]
