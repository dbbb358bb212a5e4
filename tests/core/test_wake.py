"""When a run that was let go is due again, for every way it can rest."""

from __future__ import annotations

from durum.core import events as ev
from durum.core.config import FixedBackoff, RetryPolicy
from durum.core.wake import wake_ms
from tests.core.handmade import ONE, Log, shape

NOW_MS = 1_000
TWICE = RetryPolicy(2, FixedBackoff(0), 0.0)
PAUSED = ev.RunPaused(actor="ann")


def test_what_can_go_on_is_due_at_once() -> None:
    """Something may begin, an attempt was cut off, or only the end is missing."""
    log = Log(shape({"a": "", "b": "a"}))
    assert wake_ms(log.state, NOW_MS) == NOW_MS
    assert wake_ms(log.enter("a").state, NOW_MS) == NOW_MS
    assert wake_ms(log.complete("a").run("b").state, NOW_MS) == NOW_MS


def test_what_is_over_is_never_due() -> None:
    """However it ended."""
    assert wake_ms(Log(shape({"a": ""})).run("a").end().state, NOW_MS) is None


def test_a_retry_is_due_in_its_moment() -> None:
    """The earliest one; the past counts as now."""
    log = Log(shape({"a": "", "b": ""}, retry=TWICE))
    log.enter("a").fail("a", retryable=True).retry("a", 3_000).enter("b").fail("b", retryable=True).retry("b", 2_000)
    assert wake_ms(log.state, NOW_MS) == 2_000
    assert wake_ms(log.state, 2_500) == 2_500


def test_who_waits_for_a_word_is_not_due() -> None:
    """An open gate, an open child run and a pause all end with a message; but what else can go on does."""
    log = Log(shape({"a": "", "b": ""})).enter("a").intend("a", "k", "e").ask("a", "e")
    assert wake_ms(log.state, NOW_MS) == NOW_MS
    assert wake_ms(log.run("b").state, NOW_MS) is None
    assert wake_ms(log.answer("a", happened=False).state, NOW_MS) == NOW_MS
    assert wake_ms(log.add(PAUSED).state, NOW_MS) is None
    child = ev.ChildSpawned(
        child_run_id="00000000-0000-7000-8000-0000000000f1", depth=1, inputs_id=ONE, key="k", op_id="q", state_id="p.a.main"
    )
    spawning = Log(shape({"a": ""})).run("a").state
    spawning.children[child.child_run_id] = child
    assert wake_ms(spawning, NOW_MS) is None


def test_a_paused_run_that_was_cut_off_stays_paused_and_a_cancelled_one_ends() -> None:
    """Open attempts do not wake a run somebody stopped; its end is worth a process."""
    log = Log(shape({"a": ""})).enter("a").add(PAUSED)
    assert wake_ms(log.state, NOW_MS) is None
    assert wake_ms(log.add(ev.CancelRequested(actor="ann")).state, NOW_MS) == NOW_MS
