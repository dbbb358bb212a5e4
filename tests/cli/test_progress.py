"""What a run tells while it is driven."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from durum.cli.progress import Lines, Teller, Told
from durum.cli.streams import Streams
from durum.core import events as ev
from durum.core.failure import StateError, failure
from durum.engine.attempts import child_run_id

if TYPE_CHECKING:
    from durum.core.canonical import JsonObject

STATE = "wf.fetch.main"
DIGEST = "0" * 64
STATES: list[JsonObject] = [{"state_id": STATE, "max_attempts": 3, "status": "pending"}]


def envelope(event: ev.Event, ts_millis: int = 0, attempt: int | None = 0) -> ev.Envelope:
    """Put an event in a place."""
    return ev.Envelope("run", 1, ts_millis, event, STATE, attempt, 1, "me", DIGEST, DIGEST)


def failed(*, retryable: bool, code: str = "busy", state: str = STATE) -> ev.StateFailed:
    """Make a failure."""
    return ev.StateFailed(error=StateError(failure(code, "no answer", retryable=retryable), state), state_id=state)


CHILD = "01890a5d-ac96-774b-bcce-b302099a8057"
GATE = ev.GateOpened(
    digest=DIGEST,
    fields=(),
    gate="fetch",
    gate_kind="unknown_effect",
    prompt="did it\nhappen?",
    request_id=DIGEST,
    state_id=STATE,
    subject="k",
)
ANSWER = ev.GateAnswered(actor="anna", answer=msgspec.Raw(b"{}"), digest=DIGEST, gate="fetch")


def tell(event: ev.Event, *, attempt: int = 0, after_ms: int = 0) -> Told | None:
    """Tell an event of the state's attempt that began ``after_ms`` before."""
    teller = Teller()
    teller.take(STATES)
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
        (GATE, 0, "waiting", "waits for an answer: did it happen?; effect k"),
        (ANSWER, 0, "note", "answered by anna"),
        (
            ev.EffectSettled(effect_key="k", happened=False, request_id=DIGEST, source="reconcile"),
            0,
            "note",
            "its effect did not happen before",
        ),
        (
            ev.ChildSpawned(child_run_id=CHILD, depth=1, inputs_id=DIGEST, key="k", op_id="kid", state_id="wf.fetch.spawn"),
            0,
            "note",
            f"child run {CHILD} of kid started",
        ),
        (
            failed(retryable=True, code="orphan_attempt_recovered"),
            2,
            "tried",
            "attempt 3 was interrupted",
        ),
        (failed(retryable=False, code="run_cancelled"), 0, "cancelled", "cancelled"),
    ],
)
def test_each_event_in_words(event: ev.Event, attempt: int, kind: str, text: str) -> None:
    """A failure that another attempt follows is told apart from the last one."""
    assert tell(event, attempt=attempt, after_ms=1500) == Told(kind, "fetch", text)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (ev.RunPaused(actor="anna", reason="lunch"), "paused by anna: lunch"),
        (ev.RunResumed(actor="anna"), "resumed by anna"),
        (ev.CancelRequested(actor="anna"), "cancelled by anna"),
    ],
)
def test_who_steers_the_run_is_told(event: ev.Event, text: str) -> None:
    """It concerns all of it."""
    assert tell(event) == Told("note", "run", text)


def test_a_child_run_is_told_of_the_step_that_waits_for_it() -> None:
    """Its end too; of one that is not in the plan only the id is known."""
    teller = Teller()
    spawned = ev.ChildSpawned(child_run_id=CHILD, depth=1, inputs_id=DIGEST, key="k", op_id="kid", state_id="wf.fetch.spawn")
    over = ev.ChildCompleted(child_run_id=CHILD, status=ev.RunStatus.FAILED)
    teller.tell(envelope(spawned))
    assert teller.tell(envelope(over)) == Told("note", "fetch", f"child run {CHILD} failed")
    other = msgspec.structs.replace(over, child_run_id=CHILD.replace("8057", "8058"))
    assert teller.tell(envelope(other)) == Told("note", "run", f"child run {other.child_run_id} failed")


def test_the_end_of_a_child_run_of_an_earlier_process_names_its_step() -> None:
    """Its id follows from its parent's and the state, so nothing has to be remembered."""
    teller = Teller()
    teller.take([*STATES, {"state_id": "wf.post.i3__spawn", "path": "post[3].spawn", "max_attempts": 1, "status": "completed"}])
    parent = CHILD.replace("8057", "8058")
    child = child_run_id(parent, "wf.post.i3__spawn")
    over = msgspec.structs.replace(
        envelope(ev.ChildCompleted(child_run_id=child, status=ev.RunStatus.COMPLETED)), run_id=parent
    )
    assert teller.tell(over) == Told("note", "post[3]", f"child run {child} completed")


def test_a_child_run_that_waits_is_told_while_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """By the steps above, however deep, with the command that shows what is asked; nothing else of it is news."""
    lines, deeper = Lines(Streams()), CHILD.replace("8057", "8059")
    lines.begin(STATES)
    spawned = ev.ChildSpawned(child_run_id=CHILD, depth=1, inputs_id=DIGEST, key="k", op_id="kid", state_id="wf.post.i3__spawn")
    lines.event(envelope(spawned))
    capsys.readouterr()
    below = msgspec.structs.replace(spawned, child_run_id=deeper, state_id="kid.mail.spawn")
    for run_id, event in ((CHILD, GATE), (CHILD, below), (deeper, GATE), (deeper, entered("i0"))):
        lines.child(msgspec.structs.replace(envelope(event), run_id=run_id), "root", "durum gates R")
    assert capsys.readouterr().err == (
        "post[3] > fetch: waits for an answer: durum gates R\npost[3] > mail > fetch: waits for an answer: durum gates R\n"
    )


def test_the_failure_that_opens_a_gate_is_told_by_the_gate() -> None:
    """And what an answer settles by the answer."""
    assert tell(failed(retryable=False, code="effect_unknown")) is None
    assert tell(ev.EffectSettled(effect_key="k", happened=True, request_id=DIGEST, source="answer")) is None


# --- items --------------------------------------------------------------------------------------------------------------


def items(count: int) -> list[JsonObject]:
    """Make the states of a step with so many items."""
    names = ["each", *(f"i{number}" for number in range(count)), "main"]
    return [{"state_id": f"wf.f.{name}", "max_attempts": 2, "status": "pending"} for name in names]


def told(events: list[ev.Event], count: int) -> list[str]:
    """Return the lines of a run whose step ``f`` has so many items."""
    teller = Teller()
    teller.take(items(count))
    found = [teller.tell(envelope(event)) for event in events]
    return [f"{each.name}: {each.text}" for each in found if each is not None]


def entered(local: str) -> ev.StateEntered:
    """Begin a state of the step ``f``."""
    return ev.StateEntered(attempt=0, base_snapshot_id=DIGEST, state_id=f"wf.f.{local}")


def completed(local: str) -> ev.StateCompleted:
    """Complete a state of the step ``f``."""
    return ev.StateCompleted(context_snapshot_id=DIGEST, input_digest=DIGEST, state_id=f"wf.f.{local}")


def test_a_few_items_have_lines_of_their_own() -> None:
    """Counting them and joining them is no news."""
    extended = ev.PlanExtended(count=1, rule="each", state_id="wf.f.each")
    both = [event for local in ("i0", "main") for event in (entered(local), completed(local))]
    assert told([entered("each"), extended, completed("each"), *both], 1) == [
        "f: 1 item",
        "f[0]: started",
        "f[0]: completed in 0 ms",
        "f: completed, 1 item",
    ]


def test_many_items_are_counted_now_and_then() -> None:
    """About twenty lines for a thousand; gates and the first failures have theirs."""
    log: list[ev.Event] = []
    for number in range(1000):
        log += [entered(f"i{number}"), completed(f"i{number}")]
    lines = told(log, 1000)
    assert lines == [f"f: {number:,} of 1,000 items" for number in range(50, 1001, 50)]
    assert told([log[0], ev.GateOpened(**{**msgspec.structs.asdict(GATE), "state_id": "wf.f.i0"})], 1000) == [
        "f[0]: waits for an answer: did it happen?; effect k"
    ]
    log = [event for n in range(1000) for event in (entered(f"i{n}"), failed(retryable=False, state=f"wf.f.i{n}"))]
    lines = told(log, 1000)
    assert [line for line in lines if "no answer" in line] == [f"f[{number}]: failed: no answer (busy)" for number in range(5)]
    assert lines[-1] == "f: 1,000 of 1,000 items, 1,000 failed"
    assert len(lines) < 30


def test_slow_items_are_told_while_they_come() -> None:
    """Nobody has to wait for the twentieth part of them."""
    teller = Teller()
    teller.take(items(1000))
    teller.tell(envelope(entered("i0"), 0))
    teller.tell(envelope(entered("i1"), 0))
    assert teller.tell(envelope(completed("i0"), 9_000)) is None
    assert teller.tell(envelope(completed("i1"), 11_000)) == Told("items", "f", "2 of 1,000 items")


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


def test_items_that_come_later_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Their attempts are counted; of many items their own words are left out."""
    lines = Lines(Streams())
    lines.begin(items(0))
    lines.grow(items(2))
    lines.event(envelope(failed(retryable=True, state="wf.f.i1")))
    lines.message("wf.f.i1", "here")
    lines.grow(items(30))
    lines.message("wf.f.i1", "there")
    assert capsys.readouterr().err == "f[1]: attempt 1 of 2 failed: no answer (busy)\nf[1]: here\n"
