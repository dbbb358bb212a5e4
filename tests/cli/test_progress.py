"""What a run tells while it is driven."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.cli.progress import Lines, Teller, Told
from durum.cli.streams import Streams
from durum.core import events as ev
from durum.core.failure import StateError, failure

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject

STATE = "wf.fetch.main"
DIGEST = "0" * 64
STATES: list[JsonObject] = [{"state_id": STATE, "max_attempts": 3, "status": "pending"}]


def envelope(event: ev.Event, ts_millis: int = 0, attempt: int | None = 0) -> ev.Envelope:
    """Put an event in a place."""
    return ev.Envelope("run", 1, ts_millis, event, STATE, attempt, 1, "me", DIGEST, DIGEST)


def failed(*, retryable: bool) -> ev.StateFailed:
    """Make a failure."""
    return ev.StateFailed(error=StateError(failure("busy", "no answer", retryable=retryable), STATE), state_id=STATE)


def tell(event: ev.Event, *, attempt: int = 0, after_ms: int = 0) -> Told | None:
    """Tell an event of the state's attempt that began ``after_ms`` before."""
    teller = Teller()
    teller.begin(STATES)
    teller.tell(envelope(ev.StateEntered(attempt=attempt, base_snapshot_id=DIGEST, state_id=STATE), attempt=attempt))
    return teller.tell(envelope(event, after_ms, attempt))


@pytest.mark.parametrize(
    ("event", "attempt", "kind", "text"),
    [
        (ev.StateEntered(attempt=0, base_snapshot_id=DIGEST, state_id=STATE), 0, "started", "started"),
        (ev.StateEntered(attempt=1, base_snapshot_id=DIGEST, state_id=STATE), 1, "started", "attempt 2 of 3 started"),
        (
            ev.StateCompleted(context_snapshot_id=DIGEST, input_digest=DIGEST, state_id=STATE),
            0,
            "completed",
            "completed in 1.50 s",
        ),
        (failed(retryable=True), 0, "tried", "attempt 1 of 3 failed: no answer (busy)"),
        (failed(retryable=True), 2, "failed", "attempt 3 of 3 failed: no answer (busy)"),
        (failed(retryable=False), 0, "failed", "failed: no answer (busy)"),
        (
            ev.RetryScheduled(attempt=1, delay_ms=1500, due_ms=0, jitter=0, state_id=STATE),
            0,
            "retrying",
            "attempt 2 of 3 in 1.50 s",
        ),
        (ev.StateSkipped(reason=ev.SkipReason.TAG, state_id=STATE), 0, "skipped", "skipped: its tag was to be skipped"),
        (
            ev.StateSkipped(reason=ev.SkipReason.UPSTREAM, cause="wf.b.main", state_id=STATE),
            0,
            "skipped",
            "skipped: b did not complete",
        ),
        (
            ev.StateSkipped(reason=ev.SkipReason.FAIL_FAST, state_id=STATE),
            0,
            "skipped",
            "skipped: the run stopped at the first failure",
        ),
        (
            ev.RunPaused(effect_key="k", detail="did it\nhappen?", reason="effect_unknown", state_id=STATE),
            0,
            "note",
            "paused: did it happen?",
        ),
    ],
)
def test_each_event_in_words(event: ev.Event, attempt: int, kind: str, text: str) -> None:
    """A failure that another attempt follows is told apart from the last one."""
    assert tell(event, attempt=attempt, after_ms=1500) == Told(kind, "fetch", text)


def test_changed_code_is_told_of_the_run() -> None:
    """It concerns more than one state."""
    told = tell(ev.CodeChanged(plan_id=DIGEST, steps=(STATE, "wf.b.main")))
    assert told == Told("note", "run", "goes on with changed code: fetch, b")


def test_facts_and_the_end_are_not_progress() -> None:
    """The end is the summary's to tell."""
    assert tell(ev.RunCompleted(status=ev.RunStatus.COMPLETED)) is None


def test_lines_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """One each, on stderr, whatever a step says."""
    lines = Lines(Streams())
    lines.begin(STATES)
    lines.event(envelope(failed(retryable=False)))
    lines.event(envelope(ev.RunCompleted(status=ev.RunStatus.FAILED)))
    lines.message(STATE, "two\nlines\x1b[2J")
    lines.end()
    assert capsys.readouterr() == ("", "fetch: failed: no answer (busy)\nfetch: two lines\\x1b[2J\n")
