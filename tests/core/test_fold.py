"""What a log says: statuses, queues and the attempt rule, event by event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.core import events as ev
from durum.core.config import NO_RETRY, FixedBackoff, RetryPolicy, RunConfig
from durum.core.fold import Attached, fold
from durum.core.run_state import AppliedEffect, begin
from durum.errors import CorruptionError
from tests.core.handmade import ONE, RUN, ZERO, Log, shape, state_id, written

if TYPE_CHECKING:
    from collections.abc import Callable

LINE = {"a": "", "b": "a", "c": "b"}
TWICE = RetryPolicy(2, FixedBackoff(0), 0.0)


def test_a_run_from_nothing_to_its_end() -> None:
    """Every status on the way: pending, ready, running, completed; the run's own likewise."""
    log = Log(shape(LINE), started=False)
    assert (log.state.status(), log.status()) == (ev.RunStatus.PENDING, {"a": "pending", "b": "pending", "c": "pending"})
    log.add(ev.RunStarted(initial_snapshot_id=ZERO, manifest_id=ZERO, op_id="p", plan_id=ZERO))
    assert (log.state.status(), log.status()["a"], log.state.ready) == (ev.RunStatus.RUNNING, "ready", [0])
    log.enter("a")
    assert (log.status()["a"], log.state.open, log.state.ready) == ("running", {0: 0}, [])
    log.complete("a", written("k", 1))
    assert (log.status()["a"], log.status()["b"], log.state.open) == ("completed", "ready", {})
    assert log.state.writers == {"k": [0]}
    log.run("b").run("c").end()
    assert (log.state.status(), log.state.over, log.state.seq, log.state.hash) == ("completed", True, 8, f"{8:064x}")


def test_ready_states_stand_in_the_order_of_declaration() -> None:
    """Whatever becomes ready when, decide meets it sorted."""
    log = Log(shape({"a": "", "b": "a", "c": "", "d": "c"}))
    assert log.state.ready == [0, 2]
    log.run("c")
    assert log.state.ready == [0, 3]
    log.run("a")
    assert log.state.ready == [1, 3]


def test_a_join_is_ready_when_all_it_depends_on_is_there() -> None:
    """Completed and tag-skipped states satisfy, each once."""
    log = Log(shape({"a": "", "b": "", "c": "", "d": "a b c"}))
    log.run("a").skip("b", ev.SkipReason.TAG)
    assert log.status()["d"] == "pending"
    log.run("c")
    assert log.status()["d"] == "ready"


def test_a_failure_worth_another_try_waits_for_it() -> None:
    """Undecided until a moment is set, waiting until it is entered, failed for good when the budget is used up."""
    log = Log(shape(LINE, retry=TWICE))
    log.enter("a").fail("a", retryable=True)
    assert (log.status()["a"], log.state.undecided, log.state.failed) == ("retrying", [0], None)
    log.retry("a", 50)
    assert (log.state.undecided, log.state.waiting, log.state.status()) == ([], {0}, ev.RunStatus.WAITING)
    log.enter("a")
    assert (log.state.waiting, log.state.states[0].due_ms, log.state.open) == (set(), None, {0: 1})
    log.fail("a", retryable=True)
    assert (log.status()["a"], log.state.failed, log.state.states[0].counted) == ("failed", 0, 2)
    assert log.state.doomed == {1: (ev.SkipReason.UPSTREAM, 0)}


def test_the_run_s_policy_holds_where_the_state_has_none() -> None:
    """One attempt in the run's policy is one attempt."""
    log = Log(shape(LINE), RunConfig(retry_policy=NO_RETRY))
    log.enter("a").fail("a", retryable=True)
    assert log.status()["a"] == "failed"


def test_orphans_do_not_count() -> None:
    """An attempt whose owner died makes its state ready again and leaves the budget alone."""
    log = Log(shape(LINE, retry=NO_RETRY))
    for crash in range(1, 4):
        log.enter("a").fail("a", "orphan_attempt_recovered", retryable=True)
        assert (log.status()["a"], log.state.states[0].orphans, log.state.states[0].counted) == ("ready", crash, 0)
    log.run("a")
    assert log.state.states[0].attempt == 3


def test_skips_travel_down_unless_they_are_wanted() -> None:
    """What depends on a failed or upstream-skipped state is doomed, one step at a time."""
    log = Log(shape(LINE))
    log.enter("a").fail("a")
    assert log.state.doomed == {1: (ev.SkipReason.UPSTREAM, 0)}
    log.skip("b", ev.SkipReason.UPSTREAM, "a")
    assert log.state.doomed == {2: (ev.SkipReason.UPSTREAM, 1)}
    log.skip("c", ev.SkipReason.UPSTREAM, "b").end(ev.RunStatus.FAILED)
    assert log.status() == {"a": "failed", "b": "skipped", "c": "skipped"}


def test_fail_fast_dooms_what_has_not_begun_and_what_would_be_tried_again() -> None:
    """States under way are left alone until they end."""
    policy = RunConfig(fail_fast=True, retry_policy=TWICE)
    log = Log(shape({"bad": "", "run": "", "wait": "", "ready": "", "later": "run"}), policy)
    log.enter("wait").fail("wait", retryable=True).retry("wait", 5)
    log.enter("bad").enter("run").fail("bad")
    fast = (ev.SkipReason.FAIL_FAST, 0)
    assert log.state.doomed == {2: fast, 3: fast, 4: fast}
    log.fail("run", retryable=True)
    assert log.state.doomed[1] == fast
    log.skip("run", ev.SkipReason.FAIL_FAST, "bad")
    assert (log.state.undecided, log.status()["run"]) == ([], "skipped")


def test_intents_stay_open_until_something_is_known() -> None:
    """A success fills the ledger, a refusal clears the intent, an error or a cancellation leaves it open."""
    log = Log(shape({"a": ""})).enter("a")
    for outcome, left, done in (("error", True, False), ("cancelled", True, False), ("refused", False, False)):
        log.intend("a", "k1", "e1").fact("a", "k1", outcome)  # type: ignore[arg-type]
        assert ("k1" in log.state.intents, "e1" in log.state.effects) == (left, done)
    log.intend("a", "k1", "e1").fact("a", "k1")
    assert (log.state.intents, list(log.state.effects)) == ({}, ["e1"])


def test_an_answer_settles_the_effect_it_was_for() -> None:
    """One that did not happen leaves no intent and may be tried again; one that did stands in the ledger."""
    log = Log(shape({"a": ""}), RunConfig(retry_policy=NO_RETRY)).enter("a").intend("a", "k1", "e1").intend("a", "k2", "e2")
    log.ask("a", "e1")
    assert (log.state.status(), log.status()["a"], log.state.ready) == (ev.RunStatus.PAUSED, "awaiting_answer", [])
    log.answer("a", happened=False)
    assert (log.state.status(), list(log.state.intents), log.state.gates) == (ev.RunStatus.RUNNING, ["k2"], {})
    log.enter("a").ask("a", "e2").answer("a", happened=True)
    assert (log.state.intents, log.state.effects) == ({}, {"e2": AppliedEffect(ZERO, ONE)})
    assert log.state.states[0].counted == 0


def test_new_code_carries_over_what_has_happened() -> None:
    """Positions change, meaning does not: finished, waiting, failed and doomed states are what they were."""
    old = shape({"done": "", "bad": "", "wait": "", "below": "bad", "open": "", "next": "done"}, retry=TWICE)
    log = Log(old).run("done", written("k", 1)).enter("bad").fail("bad").enter("wait").fail("wait", retryable=True)
    log.retry("wait", 9).enter("open")
    new = shape({"next": "done fresh", "fresh": "", "open": "", "below": "bad", "wait": "", "bad": "", "done": ""}, retry=TWICE)
    log.add(ev.CodeChanged(plan_id=ONE, steps=()), attached=Attached(plans={ONE: new}))
    log.plan = new
    state = log.state
    assert log.status() == {
        "next": "pending",
        "fresh": "ready",
        "open": "running",
        "below": "pending",
        "wait": "retrying",
        "bad": "failed",
        "done": "completed",
    }
    assert (state.ready, state.waiting, state.open, state.writers) == ([1], {4}, {2: 0}, {"k": [6]})
    assert (state.failed, state.doomed) == (5, {3: (ev.SkipReason.UPSTREAM, 5)})
    log.run("fresh")
    assert state.ready == [0]


def broken(change: Callable[[Log], object]) -> Callable[[Log], object]:
    """Give a list of breaches one type."""
    return change


@pytest.mark.parametrize(
    "breach",
    [
        broken(lambda log: log.enter("a", attempt=1)),
        broken(lambda log: log.enter("b")),
        broken(lambda log: log.enter("a").enter("a", attempt=1)),
        broken(lambda log: log.complete("a")),
        broken(lambda log: log.run("a").complete("a")),
        broken(lambda log: log.run("a").enter("a")),
        broken(lambda log: log.enter("a").fail("a").fail("a")),
        broken(lambda log: log.enter("a").fail("a").retry("a", 5)),
        broken(lambda log: log.enter("a").fail("a", retryable=True).retry("a", 5, attempt=2)),
        broken(lambda log: log.enter("a").fail("a", retryable=True).enter("a", attempt=0)),
        broken(lambda log: log.retry("a", 5)),
        broken(lambda log: log.enter("a").skip("a", ev.SkipReason.TAG)),
        broken(lambda log: log.run("a").skip("a", ev.SkipReason.TAG)),
        broken(lambda log: log.fact("a", "k")),
        broken(lambda log: log.run("a").fact("a", "k")),
        broken(lambda log: log.intend("a", "k", "e")),
        broken(lambda log: log.run("a").add(ev.DomainEvent(name="x", payload=written("k", 1).entry), "a", 0)),
        broken(lambda log: log.enter("a").add(ev.DomainEvent(name="x", payload=written("k", 1).entry), "a", 1)),
        broken(lambda log: log.add(ev.RunResumed(actor="ann"))),
        broken(lambda log: log.enter("a").end()),
        broken(lambda log: log.end().end()),
        broken(lambda log: log.end().enter("a")),
        broken(lambda log: log.add(log.envelopes[0].event)),
        broken(lambda log: fold(log.state, [log.envelopes[0]])),
        broken(lambda log: log.add(ev.StateEntered(attempt=0, base_snapshot_id=ZERO, state_id=state_id("none")))),
    ],
)
def test_a_log_that_breaks_the_rules_is_refused(breach: Callable[[Log], object]) -> None:
    """The attempt rule, the order of events and the plan hold for every log; whoever breaks them is named."""
    with pytest.raises(CorruptionError, match=r"event \d+ "):
        breach(Log(shape(LINE, retry=TWICE)))


def test_events_of_another_run_are_refused() -> None:
    """A log holds one run."""
    log = Log(shape(LINE))
    other = begin("00000000-0000-7000-8000-00000000ffff", shape(LINE), RunConfig())
    with pytest.raises(CorruptionError, match="should stand here"):
        fold(other, log.envelopes)
    assert log.state.run_id == RUN
