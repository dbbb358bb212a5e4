"""Whether each engine event is one decide would have led to, and whether two plans are the same graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.core import events as ev
from durum.core.config import FixedBackoff, RetryPolicy, RunConfig
from durum.core.replay import Divergence, disallowed, plan_divergence
from tests.core.handmade import ONE, ZERO, Log, shape, state_id

if TYPE_CHECKING:
    from collections.abc import Callable

WIDE = {"a": "", "b": "", "c": "a b"}
TWICE = RetryPolicy(2, FixedBackoff(100), 0.0)


def log_of(room: int = 2) -> Log:
    """Return a log that has just begun."""
    return Log(shape(WIDE, tags={"b": "t"}, retry=TWICE), RunConfig(max_concurrency=room, skip_tags=("t",)))


def entered(name: str, attempt: int = 0) -> ev.StateEntered:
    """Return an entry."""
    return ev.StateEntered(attempt=attempt, base_snapshot_id=ZERO, state_id=state_id(name))


def scheduled(name: str, delay: int, attempt: int = 1) -> ev.RetryScheduled:
    """Return a moment set."""
    return ev.RetryScheduled(attempt=attempt, delay_ms=delay, due_ms=delay, jitter=0, state_id=state_id(name))


def skipped(name: str, reason: ev.SkipReason, cause: str | None = None) -> ev.StateSkipped:
    """Return a skip."""
    return ev.StateSkipped(cause=None if cause is None else state_id(cause), reason=reason, state_id=state_id(name))


def fails(log: Log) -> Log:
    """Let a fail so that it may be tried again."""
    return log.skip("b", ev.SkipReason.TAG).enter("a").fail("a", retryable=True)


def over(log: Log) -> Log:
    """Let everything complete."""
    return log.skip("b", ev.SkipReason.TAG).run("a").run("c")


@pytest.mark.parametrize(
    ("before", "event", "fits"),
    [
        (lambda log: log, skipped("b", ev.SkipReason.TAG), True),
        (lambda log: log, skipped("a", ev.SkipReason.TAG), False),
        (lambda log: log, skipped("b", ev.SkipReason.UPSTREAM, "a"), False),
        (lambda log: log.skip("b", ev.SkipReason.TAG), entered("a"), True),
        (lambda log: log.skip("b", ev.SkipReason.TAG), entered("a", 1), False),
        (lambda log: log.skip("b", ev.SkipReason.TAG), entered("c"), False),
        (lambda log: log, entered("b"), False),
        (fails, scheduled("a", 100), True),
        (fails, scheduled("a", 5_000), True),
        (fails, scheduled("a", 99), False),
        (fails, scheduled("a", 100, 2), False),
        (fails, scheduled("c", 100), False),
        (lambda log: fails(log).retry("a", 100), entered("a", 1), True),
        (lambda log: fails(log).retry("a", 100), scheduled("a", 100, 2), False),
        (over, ev.RunCompleted(status=ev.RunStatus.COMPLETED, final_snapshot_id=ONE), True),
        (over, ev.RunCompleted(status=ev.RunStatus.FAILED), False),
        (lambda log: log, ev.RunCompleted(status=ev.RunStatus.COMPLETED), False),
    ],
)
def test_events_are_held_against_what_decide_calls_for(before: Callable[[Log], Log], event: ev.Event, fits: bool) -> None:  # noqa: FBT001
    """What it calls for is allowed, everything else is named with its place."""
    log = before(log_of())
    found = disallowed(log.state, log.envelope(event, "a", 0))
    assert (found is None) == fits
    if found is not None:
        assert (found.what, found.seq) == ("decision", log.state.seq + 1)


def test_who_goes_first_for_want_of_room_depends_on_the_moment() -> None:
    """While a retry waits another state may have taken its room: that is no divergence."""
    log = Log(shape({"a": "", "b": ""}, retry=TWICE), RunConfig(max_concurrency=1))
    log.enter("a").fail("a", retryable=True).retry("a", 100)
    for event in (entered("b"), entered("a", 1)):
        assert disallowed(log.state, log.envelope(event)) is None


def test_events_that_only_happen_are_not_decided() -> None:
    """Facts, reports and outcomes are the world's."""
    log = log_of().skip("b", ev.SkipReason.TAG).enter("a")
    done = ev.StateCompleted(context_snapshot_id=ONE, input_digest=ZERO, state_id=state_id("a"))
    assert disallowed(log.state, log.envelope(done, "a", 0)) is None


@pytest.mark.parametrize(
    ("code", "state", "says"),
    [
        ({"a": "", "b": ""}, "c", "in the record but not in the code"),
        ({**WIDE, "d": ""}, "d", "in the code but not in the record"),
        ({"a": "", "b": "a", "c": "a b"}, "b", "depends on other states now"),
        ({"a": "", "b": "", "c": "b"}, "c", "depends on other states now"),
    ],
)
def test_plans_that_differ_are_told_apart(code: dict[str, str], state: str, says: str) -> None:
    """The first state they do not share alike is named."""
    found = plan_divergence(shape(WIDE), shape(code))
    assert found is not None
    assert (found.what, found.state_id) == ("plan", state_id(state))
    assert says in found.message


def test_order_of_declaration_and_of_edges_is_no_difference() -> None:
    """The graph is what counts."""
    assert plan_divergence(shape(WIDE), shape({"b": "", "c": "b a", "a": ""})) is None


def test_a_report_is_json() -> None:
    """Every part of it."""
    report = Divergence(
        "writes", "p.a.main", 0, 5, "it differs", {"a": 1}, None, [{"path": "$"}], (), code_changed=True
    ).to_json()
    assert (report["what"], report["expected"], report["diff"], report["code_changed"]) == (
        "writes",
        {"a": 1},
        [{"path": "$"}],
        True,
    )
