"""What is done next, for every situation a log can leave a run in."""

from __future__ import annotations

from durum.core import events as ev
from durum.core.config import NO_RETRY, FixedBackoff, RetryPolicy, RunConfig
from durum.core.decide import CompleteRun, EnterState, ParkRun, ScheduleRetry, SkipState, WaitUntil, decide, next_due
from tests.core.handmade import Log, shape

TWICE = RetryPolicy(2, FixedBackoff(0), 0.0)
WIDE = {"a": "", "b": "", "c": "", "d": "a b c"}


def test_nothing_before_the_start_and_nothing_after_the_end() -> None:
    """An empty log and a closed one call for nothing."""
    assert decide(Log(shape(WIDE), started=False).state, 0) == []
    log = Log(shape({"a": ""})).run("a").end()
    assert decide(log.state, 0) == []


def test_everything_there_is_room_for_enters_in_declared_order() -> None:
    """Attempts under way take room."""
    log = Log(shape(WIDE), RunConfig(max_concurrency=2))
    assert decide(log.state, 0) == [EnterState(0, 0), EnterState(1, 0)]
    log.enter("b")
    assert decide(log.state, 0) == [EnterState(0, 0)]
    log.enter("a")
    assert decide(log.state, 0) == []
    log.complete("b")
    assert decide(log.state, 0) == [EnterState(2, 0)]


def test_a_retry_is_scheduled_before_anything_else_enters() -> None:
    """``retry`` counts the attempts that count, ``attempt`` all of them."""
    log = Log(shape(WIDE, retry=RetryPolicy(3, FixedBackoff(0), 0.0)), RunConfig(max_concurrency=1))
    log.enter("a").fail("a", "orphan_attempt_recovered").enter("a").fail("a", retryable=True)
    assert decide(log.state, 0) == [ScheduleRetry(0, 2, 0, log.state.policy(0))]
    log.retry("a", 100)
    assert decide(log.state, 99) == [EnterState(1, 0)]
    assert decide(log.state, 100) == [EnterState(0, 2)]


def test_waiting_is_the_last_thing_to_do() -> None:
    """Only when nothing runs and nothing may enter; until the earliest moment."""
    log = Log(shape({"a": "", "b": ""}, retry=TWICE))
    log.enter("a").fail("a", retryable=True).retry("a", 300).enter("b").fail("b", retryable=True).retry("b", 200)
    assert decide(log.state, 100) == [WaitUntil(200)]
    assert next_due(log.state) == 200
    assert decide(log.state, 250) == [EnterState(1, 1)]
    log.enter("b")
    assert decide(log.state, 250) == []
    assert next_due(log.state) == 300


def test_no_moment_counts_while_there_is_no_room_for_it() -> None:
    """Otherwise whoever waits for the moment would spin once it has come."""
    log = Log(shape({"a": "", "b": ""}, retry=TWICE), RunConfig(max_concurrency=1))
    log.enter("a").fail("a", retryable=True).retry("a", 10).enter("b")
    assert next_due(log.state) is None
    log.complete("b")
    assert next_due(log.state) == 10


def test_no_moment_counts_for_a_run_that_is_being_cancelled() -> None:
    """Its retries never come; whoever waited for one would spin until the last attempt under way has ended."""
    log = Log(shape({"a": "", "b": ""}, retry=TWICE))
    log.enter("a").fail("a", retryable=True).retry("a", 10).enter("b").add(ev.CancelRequested(actor="ann"))
    assert (decide(log.state, 20), next_due(log.state)) == ([], None)
    log.fail("b", "run_cancelled")
    assert decide(log.state, 20) == [CompleteRun(ev.RunStatus.CANCELLED)]


def test_skips_come_before_entries_and_alone() -> None:
    """What a skip makes ready may go before what was ready already."""
    log = Log(shape({"a": "", "b": "a", "c": ""}, tags={"a": "x llm"}), RunConfig(skip_tags=("llm", "y"), max_concurrency=1))
    assert decide(log.state, 0) == [SkipState(0, ev.SkipReason.TAG, None)]
    log.skip("a", ev.SkipReason.TAG)
    assert decide(log.state, 0) == [EnterState(1, 0)]


def test_the_doomed_are_skipped_once_nothing_of_theirs_runs() -> None:
    """Each names the state it follows from."""
    log = Log(shape({"a": "", "b": "a", "c": "b", "d": ""})).enter("d").enter("a").fail("a")
    assert decide(log.state, 0) == [SkipState(1, ev.SkipReason.UPSTREAM, 0)]
    log.skip("b", ev.SkipReason.UPSTREAM, "a")
    assert decide(log.state, 0) == [SkipState(2, ev.SkipReason.UPSTREAM, 1)]
    log.skip("c", ev.SkipReason.UPSTREAM, "b")
    assert decide(log.state, 0) == []
    log.complete("d")
    assert decide(log.state, 0) == [CompleteRun(ev.RunStatus.FAILED)]


def test_a_run_ends_when_nothing_is_left() -> None:
    """Completed unless a state failed for good."""
    assert decide(Log(shape({"a": ""})).run("a").state, 0) == [CompleteRun(ev.RunStatus.COMPLETED)]
    skipped = Log(shape({"a": ""}, tags={"a": "x"}), RunConfig(skip_tags=("x",))).skip("a", ev.SkipReason.TAG)
    assert decide(skipped.state, 0) == [CompleteRun(ev.RunStatus.COMPLETED)]


def test_a_paused_run_lets_running_states_finish_and_then_parks() -> None:
    """Nothing enters, retries are only noted, nobody spins."""
    log = Log(shape({"a": "", "b": "", "c": ""}, retry=TWICE), RunConfig(max_concurrency=2, retry_policy=NO_RETRY))
    log.enter("a").enter("b").add(ev.RunPaused(actor="ann")).fail("a", "orphan_attempt_recovered")
    assert decide(log.state, 0) == []
    log.fail("b", retryable=True)
    assert decide(log.state, 0) == [ScheduleRetry(1, 1, 0, TWICE)]
    log.retry("b", 5)
    assert (decide(log.state, 9), next_due(log.state)) == ([ParkRun()], None)
    log.add(ev.RunResumed(actor="ann"))
    assert decide(log.state, 9) == [EnterState(0, 1), EnterState(1, 1)]
